package pods

import (
	"os"
	"testing"

	"go.uber.org/goleak"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

func TestMain(m *testing.M) {
	if os.Getenv(serving) != "" {
		serve()
	}
	// The second one sleeps until a millisecond after the last error of the
	// process. In a bubble of synctest, whose time begins anew, that is hours.
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	goleak.VerifyTestMain(m)
}
