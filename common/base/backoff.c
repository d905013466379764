#include "common/base/backoff.h"
