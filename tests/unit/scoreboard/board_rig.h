/* board_rig.h - a scoreboard for the tests of it. Offsets are those of
 * docs/protocols/scoreboard.md. */
#pragma once

#include <sys/types.h>

#include "common/scoreboard/scoreboard.h"
#include "common/scoreboard/totals.h"

#define UUID       "0b36ae1d-9a57-4c5c-8c3a-0d4a36f6b001"
#define OTHER_UUID "0b36ae1d-9a57-4c5c-8c3a-0d4a36f6b002"

enum {
    SLOTS_OFFSET = 8192,
    SLOT_BYTES = 28672,
    TOTALS_OFFSET = SLOTS_OFFSET + SCOREBOARD_SLOTS * SLOT_BYTES,
    TOTAL_BYTES = 256,
    BOARD_BYTES = TOTALS_OFFSET + SCOREBOARD_TOTALS * TOTAL_BYTES,
    CHILD_OFFSET = 4096,
    HISTOGRAMS_OFFSET = CHILD_OFFSET + 112,
    ROWS_USED_OFFSET = CHILD_OFFSET + 1072,
    ROWS_OFFSET = CHILD_OFFSET + 4096,
    ROW_BYTES = 160,
};

extern struct scoreboard *board;
extern struct scoreboard_view view; /* of the last scoreboard_read */

void rig_set_up(void);
void rig_tear_down(void);

int rig_claim(void);
struct scoreboard_master rig_master_of(int32_t pid, const char *uuid);
/* Claims a slot for this process itself. */
int rig_claim_own(void);
struct scoreboard_slot *rig_attach(int index);
/* A job of type "charge". */
int rig_begin(struct scoreboard_slot *slot, const char *id);

/* Bytes of a slot, behind the back of all. */
void rig_put_bytes(int index, int offset, const void *bytes, size_t len);
void rig_get_bytes(int index, int offset, void *bytes, size_t len);
