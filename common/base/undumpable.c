#include "common/base/undumpable.h"

#include <sys/prctl.h>

#if defined(__SANITIZE_ADDRESS__)
#define CHECKED_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED_BUILD 1
#endif
#endif

void undumpable_begin(void)
{
#ifdef CHECKED_BUILD
    const unsigned long dumpable = 1; /* a change of user has taken it away */
#else
    const unsigned long dumpable = 0;
#endif

    (void)prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0); /* cannot fail for 0 and 1 */
}
