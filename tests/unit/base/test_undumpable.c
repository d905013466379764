#include <criterion/criterion.h>
#include <sys/prctl.h>

#include "common/base/undumpable.h"

#define EXPECTED 0
#if defined(__SANITIZE_ADDRESS__)
#undef EXPECTED
#define EXPECTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#undef EXPECTED
#define EXPECTED 1
#endif
#endif

Test(undumpable, forbids_dumps_except_in_checked_builds)
{
    cr_assert_eq(prctl(PR_GET_DUMPABLE), 1, "a fresh process is dumpable, or this shows nothing");
    undumpable_begin();
    cr_assert_eq(prctl(PR_GET_DUMPABLE), EXPECTED);
}
