package standin

import (
	"errors"
	"fmt"
	"time"
)

// A Config describes one stand-in kubelet.
type Config struct {
	Node       string        // the node's name in its documents; required
	Seed       int64         // same seed, same documents
	Pods       int           // pods on the node; 0 = 55 as recorded
	Resolution time.Duration // one recorded answer is one slot of this length; whole seconds, required
	Token      string        // bearer token that is accepted; required
	Trace      *Trace        // shared by the kubelets of one process; nil = load the embedded one
}

// maxPods is ten times what a kubelet accepts by default: enough to try, and
// the document stays under 5 MB.
const maxPods = 1100

// validate names the first field that cannot be used.
func (c Config) validate() error {
	switch {
	case c.Node == "":
		return errors.New("stand-in kubelet: Node is empty")
	case c.Pods < 0 || c.Pods > maxPods:
		return fmt.Errorf("stand-in kubelet %s: Pods is %d, not 0 to %d", c.Node, c.Pods, maxPods)
	case c.Resolution < time.Second || c.Resolution%time.Second != 0:
		return fmt.Errorf("stand-in kubelet %s: Resolution is %v, not whole seconds", c.Node, c.Resolution)
	case c.Token == "":
		return fmt.Errorf("stand-in kubelet %s: Token is empty", c.Node)
	}
	return nil
}
