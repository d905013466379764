/* queue_verbs.h - rows of the verbs of `drover queue` and `drover job`; commands.c lists them. */
#pragma once

#include "supervisor/cli/command.h"

/* Each file's verbs, and the parts that one shares with another. */
#define VERB_ROW(name_, summary_, usage_, about_, examples_, options_, operands_, min_, max_, act_) \
    {                                                                                              \
        .name = (name_), .summary = (summary_), .usage = (usage_), .about = (about_),              \
        .examples = (examples_), .options = (options_), .options_count = ARRAY_SIZE(options_),     \
        .operands = (operands_), .operands_count = ARRAY_SIZE(operands_), .run = cli_run_verb,     \
        .act = (act_), .words_min = (min_), .words_max = (max_)                                    \
    }
