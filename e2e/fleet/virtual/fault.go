package virtual

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A FaultKind is a way for an agent to answer badly, or not at all.
type FaultKind string

// The kinds of faults, by the names that [ParseFault] knows.
const (
	None      FaultKind = "none"      // it answers properly
	Blackhole FaultKind = "blackhole" // connections come about, and stay silent
	Slow      FaultKind = "slow"      // answers properly after Fault.Delay
	Trickle   FaultKind = "trickle"   // answers properly, one byte each 10 ms
	Endless   FaultKind = "endless"   // begins well, and goes on with the same chunk for ever
	Garbage   FaultKind = "garbage"   // 200 and the right type, with bytes that are no frames
	WrongNode FaultKind = "wrongnode" // answers for the next node, and says so in the header
	Version   FaultKind = "version"   // 404, as an agent that does not know the path
	WrongType FaultKind = "type"      // 200 with a page of HTML
	Duplicate FaultKind = "duplicate" // sends every chunk twice
	Shift     FaultKind = "shift"     // says that all was measured Fault.Delay later
	Size      FaultKind = "size"      // has Fault.Times as many pods
)

// Faults are the forms that [ParseFault] takes.
const Faults = "none|blackhole|slow:3s|trickle|endless|garbage|wrongnode|version|type|duplicate|shift:-5h|size:10"

// A Fault is how an agent fails, until another is set. The zero value is that
// it does not.
type Fault struct {
	Kind  FaultKind
	Delay time.Duration // of Slow and Shift
	Times int           // of Size
}

// ParseFault reads a fault as [Fault.String] writes it. A shift is a multiple of
// 15 min, since chunks begin with blocks.
func ParseFault(s string) (Fault, error) {
	name, argument, hasArgument := strings.Cut(s, ":")
	f := Fault{Kind: FaultKind(name)}
	var err error
	switch f.Kind {
	case Slow:
		f.Delay, err = time.ParseDuration(argument)
		if err != nil || f.Delay <= 0 {
			return Fault{}, fmt.Errorf("fault %q: slow needs a duration above 0, as in slow:3s", s)
		}
	case Shift:
		f.Delay, err = time.ParseDuration(argument)
		if err != nil || f.Delay == 0 || f.Delay%blockLength != 0 {
			return Fault{}, fmt.Errorf("fault %q: shift needs a multiple of 15m, as in shift:-5h", s)
		}
	case Size:
		f.Times, err = strconv.Atoi(argument)
		if err != nil || f.Times < 2 || f.Times > 1000 {
			return Fault{}, fmt.Errorf("fault %q: size needs a number from 2 to 1000, as in size:10", s)
		}
	case None, Blackhole, Trickle, Endless, Garbage, WrongNode, Version, WrongType, Duplicate:
		if hasArgument {
			return Fault{}, fmt.Errorf("fault %q: %s takes no argument", s, name)
		}
	default:
		return Fault{}, fmt.Errorf("unknown fault %q, known are %s", s, Faults)
	}
	return f, nil
}

// String is the fault as [ParseFault] reads it.
func (f Fault) String() string {
	switch f.Kind {
	case "":
		return string(None)
	case Slow, Shift:
		return string(f.Kind) + ":" + f.Delay.String()
	case Size:
		return string(f.Kind) + ":" + strconv.Itoa(f.Times)
	}
	return string(f.Kind)
}
