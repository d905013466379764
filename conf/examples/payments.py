#!/usr/bin/env python3
"""Handler for payments.yaml: sends {"account": …, "cents": …} to the payment service, once, however often it is called.

Exit codes are sysexits.h: 65 fails the job for good, 75 asks for another attempt. What is printed is the job's result.
"""
import json
import os
import sys
import urllib.error
import urllib.request

EX_DATAERR, EX_TEMPFAIL, EX_CONFIG = 65, 75, 78
WAIT_S = 30  # less than the job's timeout


def end(code, why):
    print(why, file=sys.stderr)
    sys.exit(code)


def read_payment():
    try:
        payment = json.load(sys.stdin)
        account, cents = payment["account"], payment["cents"]
    except (ValueError, KeyError, TypeError) as error:
        end(EX_DATAERR, f"not a payment: {error!r}")
    if not isinstance(account, str) or type(cents) is not int or cents <= 0:
        end(EX_DATAERR, "a payment needs an account (text) and cents (a whole number above 0)")
    return {"account": account, "cents": cents}


def main():
    url = os.environ.get("PAYMENTS_URL") or end(EX_CONFIG, "PAYMENTS_URL is not set")
    request = urllib.request.Request(
        f"{url}/{sys.argv[1]}", json.dumps(read_payment()).encode(), method="POST",
        # The same for all attempts of a job: the service answers a repetition with what it did the first time.
        headers={"Content-Type": "application/json", "Idempotency-Key": os.environ["DROVER_IDEMPOTENCY_KEY"]})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            print(json.dumps(json.load(response)))
    except urllib.error.HTTPError as error:
        # 408, 409 (the first try is still being worked on), 425 and 429 say "later"; other 4xx will never be different.
        later = error.code >= 500 or error.code in (408, 409, 425, 429)
        end(EX_TEMPFAIL if later else EX_DATAERR, f"the service answers {error.code} {error.reason}")
    except (OSError, ValueError) as error:
        # Whether the payment was made is not known. That is what the key is for.
        end(EX_TEMPFAIL, f"no answer that can be read: {error}")


main()
