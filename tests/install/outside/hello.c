/* hello.c - an outside program: continues the tokens 5, 10 and 15 with the model it is given. It is
 * compiled as C11 and as C++17. */
#include <eet/eet.h>
#include <stdio.h>
#include <string.h>

static int print_tokens(eet_generation *run, eet_error *err) {
    eet_event event;
    int32_t count = 0;

    while (eet_generate_next(run, &event, 1, &count, err) == EET_OK && count == 1) {
        printf("%d%c", (int)event.token, event.finish == EET_FINISH_NONE ? ',' : '\n');
    }
    return err->status == EET_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    const int32_t tokens[] = {5, 10, 15}, start[] = {0, 3};
    eet_batch prompt;
    eet_generate_options options;
    eet_model *model = NULL;
    eet_session *session = NULL;
    eet_generation *run = NULL;
    eet_error err;
    int code = 1;

    memset(&prompt, 0, sizeof prompt);
    memset(&options, 0, sizeof options);
    memset(&err, 0, sizeof err);
    prompt.size = (uint32_t)sizeof prompt;
    prompt.rows = 1;
    prompt.start = start;
    prompt.tokens = tokens;
    options.size = (uint32_t)sizeof options;
    options.max_new_tokens = 4;
    if (eet_abi() >> 16 == EET_ABI_MAJOR &&
        eet_model_open(argv[argc - 1], NULL, &model, &err) == EET_OK &&
        eet_session_create(model, NULL, &session, &err) == EET_OK &&
        eet_generate_begin(session, &prompt, &options, &run, &err) == EET_OK) {
        code = print_tokens(run, &err);
    }
    eet_generate_end(run);
    eet_session_destroy(session);
    eet_model_close(model);
    if (err.status != EET_OK) {
        fprintf(stderr, "%s\n", err.text);
    }
    return code;
}
