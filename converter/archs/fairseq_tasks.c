/* fairseq_tasks.c - the tasks of Fairseq that add words to their dictionary. */
#include <stddef.h>

#include "converter/fairseq.h"

#define BEHIND(task) \
    { (task), false, {NULL}, EET_LANG_NONE }

const eet_fairseq_task eet_fairseq_tasks[] = {
    {"legacy_masked_lm", true, {"<mask>", "<cls>", "<sep>", NULL}, EET_LANG_NONE},
    {"cross_lingual_lm", true, {"<mask>", NULL}, EET_LANG_NONE},
    {"multilingual_denoising", false, {NULL}, EET_LANG_TOLD},
    {"translation_from_pretrained_bart", false, {NULL}, EET_LANG_ALWAYS},
    BEHIND("masked_lm"),
    BEHIND("denoising"),
    BEHIND("multilingual_masked_lm"),
    BEHIND("sentence_prediction"),
    BEHIND("sentence_prediction_adapters"),
    BEHIND("sentence_ranking"),
    BEHIND("commonsense_qa"),
    {0},
};
