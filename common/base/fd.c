#include "common/base/fd.h"
