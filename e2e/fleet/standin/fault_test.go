package standin

import (
	"strings"
	"testing"
	"time"
)

func TestParseFault(t *testing.T) {
	for text, want := range map[string]Fault{
		"none":       {Kind: None},
		"blackhole":  {Kind: Blackhole},
		"reset":      {Kind: Reset},
		"slow:3s":    {Kind: Slow, Delay: 3 * time.Second},
		"slow:150ms": {Kind: Slow, Delay: 150 * time.Millisecond},
		"status:500": {Kind: Status, Status: 500},
		"status:401": {Kind: Status, Status: 401},
		"truncate":   {Kind: Truncate},
		"garbage":    {Kind: Garbage},
		"endless":    {Kind: Endless},
	} {
		got, err := ParseFault(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%s comes back as %s", text, got)
		}
	}
	if got := (Fault{}).String(); got != "none" {
		t.Errorf("the zero fault is %q", got)
	}
}

func TestParseFaultNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":            "unknown fault",
		"nope":        `"nope"`,
		"none:1":      "no argument",
		"blackhole:":  "no argument",
		"slow":        "slow:3s",
		"slow:3":      "slow:3s",
		"slow:-1s":    "above 0",
		"status":      "status:500",
		"status:abc":  "status:500",
		"status:200":  "300 to 599",
		"status:99":   "300 to 599",
		"status:1000": "300 to 599",
	} {
		if _, err := ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q in it", text, err, want)
		}
	}
}
