package standin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A FaultKind is a way for a kubelet to fail.
type FaultKind string

// The kinds of faults, by the names that [ParseFault] knows.
const (
	None      FaultKind = "none"      // it does not fail
	Blackhole FaultKind = "blackhole" // accepts, and never answers
	Reset     FaultKind = "reset"     // resets the connection
	Slow      FaultKind = "slow"      // answers properly after Fault.Delay
	Status    FaultKind = "status"    // refuses with Fault.Status
	Truncate  FaultKind = "truncate"  // announces the whole body, sends half and closes
	Garbage   FaultKind = "garbage"   // 200 with a body that is not JSON
	Endless   FaultKind = "endless"   // 200 with a body that begins well and never ends
)

// A Fault is how a kubelet fails, until another is set. The zero value is that
// it does not.
type Fault struct {
	Kind   FaultKind
	Delay  time.Duration // of Slow
	Status int           // of Status
}

// faultForms is what ParseFault accepts, for its errors.
const faultForms = "none, blackhole, reset, slow:3s, status:500, truncate, garbage or endless"

// ParseFault reads a fault as [Fault.String] writes it: none, blackhole, reset,
// slow:3s, status:500, truncate, garbage, endless. The delay is above 0, the
// status from 300 to 599.
func ParseFault(s string) (Fault, error) {
	name, argument, hasArgument := strings.Cut(s, ":")
	f := Fault{Kind: FaultKind(name)}
	switch f.Kind {
	case None, Blackhole, Reset, Truncate, Garbage, Endless:
		if hasArgument {
			return Fault{}, fmt.Errorf("fault %q: %s takes no argument", s, name)
		}
	case Slow:
		delay, err := time.ParseDuration(argument)
		if err != nil || delay <= 0 {
			return Fault{}, fmt.Errorf("fault %q: slow needs a duration above 0, as in slow:3s", s)
		}
		f.Delay = delay
	case Status:
		status, err := strconv.Atoi(argument)
		if err != nil || status < 300 || status > 599 {
			return Fault{}, fmt.Errorf("fault %q: status needs a code from 300 to 599, as in status:500", s)
		}
		f.Status = status
	default:
		return Fault{}, fmt.Errorf("unknown fault %q, known are %s", s, faultForms)
	}
	return f, nil
}

// String is the fault as ParseFault reads it.
func (f Fault) String() string {
	switch f.Kind {
	case "":
		return string(None)
	case Slow:
		return string(Slow) + ":" + f.Delay.String()
	case Status:
		return string(Status) + ":" + strconv.Itoa(f.Status)
	default:
		return string(f.Kind)
	}
}
