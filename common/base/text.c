#include "common/base/text.h"
