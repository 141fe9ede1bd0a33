// The variables that the kernels and the runner share, one copy for each thread of the host.
#include "shim.h"

extern "C" {
__thread DftspEmulated dftsp_emulated;

DftspEmulated* dftsp_emulated_here() { return &dftsp_emulated; }
}
