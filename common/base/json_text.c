#include "common/base/json_text.h"
