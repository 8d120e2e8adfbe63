#include "agent.h"
#define NOT_YET(name) void name(struct call *call, struct reader *arguments) { (void)arguments; call_fail(call, UNIMPLEMENTED, "not offered yet"); }
NOT_YET(op_read_directory) NOT_YET(op_move) NOT_YET(op_remove) NOT_YET(op_watch) NOT_YET(op_sync)
