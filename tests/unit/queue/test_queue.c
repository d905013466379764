/* Names (wire format 1.1, 8.14). */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/queue/change.h"
#include "common/queue/get.h"
#include "common/queue/settings.h"

Test(queue, names)
{
    static const struct {
        const char *prefix, *name, *key_prefix, *private_key, *client, *named_client;
    } rows[] = {
        { "bull", "w1", "bull:w1:", "drover:{bull:w1}:live", "bull:dzE=", "bull:dzE=:w:wk1" },
        { "bull", "{x}", "bull:{x}:", "drover:{x}:bull:{x}:live", "bull:e3h9", "bull:e3h9:w:wk1" },
        { "{bull}", "q", "{bull}:q:", "drover:{bull}:{bull}:q:live",
          "{bull}:cQ==", "{bull}:cQ==:w:wk1" },
        { "a{b", "c}d", "a{b:c}d:", "drover:{b:c}:a{b:c}d:live", "a{b:Y31k", "a{b:Y31k:w:wk1" },
        { "bull", "{}x", "bull:{}x:", "drover:{bull:{}x}:live", "bull:e314", "bull:e314:w:wk1" },
        { "{bull}", "r", "{bull}:r:", "drover:{bull}:{bull}:r:live",
          "{bull}:cg==", "{bull}:cg==:w:wk1" },
        { "my:pre", "q", "my:pre:q:", "drover:{my:pre:q}:live",
          "my:pre:cQ==", "my:pre:cQ==:w:wk1" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct queue *queue;
        struct error err = { 0 };
        char *private_key, *client, *named_client;

        cr_assert(queue_new(rows[i].prefix, rows[i].name, NULL, &queue, &err) == 0, "%s", err.text);
        private_key = queue_private_key(queue, "live");
        client = queue_worker_client_name(queue, NULL);
        named_client = queue_worker_client_name(queue, "wk1");
        cr_expect_str_eq(queue_name(queue), rows[i].name);
        cr_expect_str_eq(queue_key_prefix(queue), rows[i].key_prefix);
        cr_expect_str_eq(private_key, rows[i].private_key);
        cr_expect_str_eq(client, rows[i].client);
        cr_expect_str_eq(named_client, rows[i].named_client);
        free(private_key);
        free(client);
        free(named_client);
        queue_free(queue);
    }
}

Test(queue, bad_names_are_refused)
{
    struct queue *queue = NULL;
    struct error err = { 0 };

    cr_expect(queue_new("bull", "a:b", NULL, &queue, &err) == -EINVAL);
    cr_expect(strstr(err.text, "a:b"), "%s", err.text);
    cr_expect(queue_new("bull", "", NULL, &queue, &err) == -EINVAL);
    cr_expect(queue_new("", "q", NULL, &queue, &err) == -EINVAL);
    cr_expect(queue == NULL);
    queue_free(NULL);
}

Test(queue, bad_progress_is_refused_before_sending)
{
    struct queue *queue;
    struct error err = { 0 };

    cr_assert(queue_new("bull", "q", NULL, &queue, &err) == 0);
    cr_expect(queue_update_progress(queue, "1", "{", 1, NULL, NULL, &err) == -EINVAL);
    cr_expect(queue_update_progress(queue, "1", "1", 1, NULL, NULL, &err) == -ENOTCONN);
    cr_expect(queue_add_log(queue, "1", "x", 1, -1, NULL, NULL, &err) == -ENOTCONN);
    cr_expect(queue_pause(queue, NULL, NULL, &err) == -ENOTCONN);
    cr_expect(queue_count_jobs(queue, NULL, NULL, &err) == -ENOTCONN);
    cr_expect(queue_view_job(queue, "1", NULL, NULL, &err) == -ENOTCONN);
    cr_expect(queue_job_history(queue, "1", 10, NULL, NULL, &err) == -ENOTCONN);
    cr_expect(queue_job_history(queue, "1", 0, NULL, NULL, &err) == -EINVAL);
    queue_free(queue);
}
