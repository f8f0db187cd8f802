/* fuzz_dictionary.c - a dict.txt from a stranger, for each task of Fairseq that adds words and for
 * none: its numbers are those of words that are there. */
#include <stdlib.h>

#include "converter/fairseq.h"
#include "tests/fuzz/target.h"

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void look(const uint8_t *data, size_t size, const eet_fairseq_task *task) {
    const eet_fairseq_style style =
        task == NULL || task->style == EET_STYLE_TOLD ? EET_STYLE_MBART : task->style;
    const eet_fairseq_words more = {task, task != NULL && task->languages != EET_LANG_NONE, style,
                                    "en_XX,w,en_XX", "w"};
    eet_dictionary found;
    eet_error err = {0};

    if (eet_fairseq_dictionary((const char *)data, size, &more, &found, &err) != EET_OK) {
        return;
    }
    require(found.count >= 4 && (uint64_t)found.count <= size + 8);
    require(found.mask >= -1 && found.mask < found.count);
    require(found.language >= -1 && found.language < found.count);
    require(found.cls >= -1 && found.cls < found.count);
    require(found.sep >= -1 && found.sep < found.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    look(data, size, NULL);
    for (const eet_fairseq_task *task = eet_fairseq_tasks; task->name != NULL; task++) {
        look(data, size, task);
    }
    return 0;
}
