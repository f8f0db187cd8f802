/* graph.c - work that is recorded once and launched many times. */
#include "kernels/cuda/graph.h"

#include "kernels/cuda/watch.h"

eet_status eet_graph_begin(eet_backend *backend) {
    const eet_device_scope scope = eet_device_enter(backend);
    const cudaError_t code =
        scope.code == cudaSuccess
            ? cudaStreamBeginCapture(backend->stream, cudaStreamCaptureModeThreadLocal)
            : scope.code;

    eet_device_leave(scope);
    return eet_watch_end(backend, "a recording", code);
}

eet_status eet_graph_end(eet_backend *backend, void **out) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaGraph_t recorded = NULL;
    cudaGraphExec_t graph = NULL;
    cudaError_t code = cudaStreamEndCapture(backend->stream, &recorded); /* whatever was before */

    if (code == cudaSuccess) {
        code = scope.code;
    }
    if (code == cudaSuccess) {
        code = cudaGraphInstantiate(&graph, recorded, 0);
    }
    if (recorded != NULL) {
        (void)cudaGraphDestroy(recorded);
    }
    *out = graph;
    eet_device_leave(scope);
    return eet_watch_end(backend, "a recording", code);
}

eet_status eet_graph_launch(eet_backend *backend, void *graph) {
    const eet_device_scope scope = eet_device_enter(backend);
    const cudaError_t code =
        scope.code == cudaSuccess ? cudaGraphLaunch(graph, backend->stream) : scope.code;

    eet_device_leave(scope);
    return eet_watch_end(backend, "a recorded pass", code);
}

void eet_graph_free(eet_backend *backend, void *graph) {
    const eet_device_scope scope = eet_device_enter(backend);

    if (graph != NULL) {
        (void)cudaGraphExecDestroy(graph);
    }
    eet_device_leave(scope);
}
