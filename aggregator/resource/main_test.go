package resource

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// What k8s.io/apiserver starts with a configuration, and never ends.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("k8s.io/apiserver/pkg/server/filters.startRecordingUsage.func1"),
		goleak.IgnoreAnyFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"),
		goleak.IgnoreAnyFunction("k8s.io/apimachinery/pkg/util/wait.Forever"),
	)
}
