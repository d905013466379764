#include "workers/handlers/sysexits.h"

#include "common/base/attr.h"

const struct sysexit sysexits[] = {
    { 64, "EX_USAGE", true, "the program was called wrongly" },
    { 65, "EX_DATAERR", true, "the job's data is wrong" },
    { 66, "EX_NOINPUT", true, "an input does not exist" },
    { 67, "EX_NOUSER", true, "no such user" },
    { 68, "EX_NOHOST", true, "no such host" },
    { 69, "EX_UNAVAILABLE", false, "a service is not available" },
    { 70, "EX_SOFTWARE", false, "an internal error" },
    { 71, "EX_OSERR", false, "the operating system refused something" },
    { 72, "EX_OSFILE", false, "a system file is missing or damaged" },
    { 73, "EX_CANTCREAT", false, "an output cannot be created" },
    { 74, "EX_IOERR", false, "reading or writing failed" },
    { 75, "EX_TEMPFAIL", false, "try again later" },
    { 76, "EX_PROTOCOL", false, "the other side broke the protocol" },
    { 77, "EX_NOPERM", true, "not permitted" },
    { 78, "EX_CONFIG", true, "the program is configured wrongly" },
};
const size_t sysexits_count = ARRAY_SIZE(sysexits);

const struct sysexit *sysexit_find(int code)
{
    for (size_t i = 0; i < sysexits_count; i++) {
        if (sysexits[i].code == code)
            return &sysexits[i];
    }
    return NULL;
}
