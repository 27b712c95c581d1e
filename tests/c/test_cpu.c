/* Instruction sets, contexts and statuses. */
#include <string.h>

#include "check.h"

void test_cpu(check *c)
{
    c->what = "cpu";
    EXPECT(c, cc_isa_usable(CC_ISA_GENERIC));
    EXPECT(c, cc_isa_usable(cc_isa_best()));
    EXPECT(c, !cc_isa_usable((cc_isa)CC_ISA_COUNT) && strcmp(cc_isa_name((cc_isa)CC_ISA_COUNT), "unknown") == 0);

    for (int isa = 0; isa < CC_ISA_COUNT; isa++) {
        cc_context *context = NULL;
        const cc_status status = cc_context_create((cc_isa)isa, 2, &context);
        EXPECT(c, status == (cc_isa_usable((cc_isa)isa) ? CC_OK : CC_ERR_UNSUPPORTED));
        if (status == CC_OK)
            EXPECT(c, strcmp(context->kernels->name, cc_isa_name((cc_isa)isa)) == 0);
        cc_context_destroy(context);
    }
    cc_context *context = NULL;
    EXPECT(c, cc_context_create(CC_ISA_GENERIC, 0, &context) == CC_ERR_ARGUMENT && context == NULL);
    EXPECT(c, cc_context_create(CC_ISA_GENERIC, CC_MAX_THREADS + 1, &context) == CC_ERR_ARGUMENT);
    cc_context_destroy(NULL);

    for (int status = CC_ERR_NO_BLAS; status <= CC_OK; status++) {
        const char *sentence = cc_status_string((cc_status)status);
        EXPECT(c, sentence != NULL && strlen(sentence) > 0);
        for (int other = status + 1; other <= CC_OK; other++)
            EXPECT(c, strcmp(sentence, cc_status_string((cc_status)other)) != 0);
    }
    EXPECT(c, cc_status_string((cc_status)-99) != NULL);
}
