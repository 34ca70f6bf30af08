package kubelet

import (
	"encoding/json"
	"strconv"
	"time"
)

// The types below are the part of k8s.io/kubelet's stats/v1alpha1.Summary
// that becomes samples. They hold values, not pointers (a sixth of the
// allocations), so each number remembers by itself whether it was there.

type nodeStats struct {
	stats
	Network networkStats `json:"network"`
	FS      fsStats      `json:"fs"`
}

type podStats struct {
	stats
	Ref        podRef           `json:"podRef"`
	Containers []containerStats `json:"containers"`
	Network    networkStats     `json:"network"`
	Ephemeral  fsStats          `json:"ephemeral-storage"`
}

type podRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

type containerStats struct {
	stats
	Name   string  `json:"name"`
	RootFS fsStats `json:"rootfs"`
	Logs   fsStats `json:"logs"`
}

// stats are what nodes, pods and containers have in common.
type stats struct {
	StartTime instant     `json:"startTime"`
	CPU       cpuStats    `json:"cpu"`
	Memory    memoryStats `json:"memory"`
	IO        ioStats     `json:"io"`
	Swap      swapStats   `json:"swap"`
}

type cpuStats struct {
	Time                 instant  `json:"time"`
	UsageNanoCores       number   `json:"usageNanoCores"`
	UsageCoreNanoSeconds number   `json:"usageCoreNanoSeconds"`
	PSI                  psiStats `json:"psi"`
}

type memoryStats struct {
	Time            instant  `json:"time"`
	UsageBytes      number   `json:"usageBytes"`
	WorkingSetBytes number   `json:"workingSetBytes"`
	RSSBytes        number   `json:"rssBytes"`
	PSI             psiStats `json:"psi"`
}

type ioStats struct {
	PSI psiStats `json:"psi"`
}

type psiStats struct {
	Full psiData `json:"full"`
	Some psiData `json:"some"`
}

type psiData struct {
	Total number `json:"total"`
}

type swapStats struct {
	UsageBytes number `json:"swapUsageBytes"`
}

type fsStats struct {
	UsedBytes number `json:"usedBytes"`
}

type networkStats struct {
	interfaceStats
	Interfaces []interfaceStats `json:"interfaces"`
}

type interfaceStats struct {
	Name    string `json:"name"`
	RxBytes number `json:"rxBytes"`
	TxBytes number `json:"txBytes"`
}

// A presence says what a field held.
type presence uint8

const (
	absent  presence = iota // missing or null
	present                 // a value
	invalid                 // something that is no value of the field's type
)

// A number is an unsigned integer that may be absent or invalid. Decoding it
// never fails: encoding/json gives up on a whole document otherwise, or, with
// a pointer, leaves a 0 that nobody reported.
type number struct {
	value uint64
	state presence
}

// UnmarshalJSON takes what encoding/json takes for a uint64: digits only, no
// sign, fraction or exponent.
func (n *number) UnmarshalJSON(b []byte) error {
	*n = number{}
	if string(b) == "null" {
		return nil
	}
	v, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		n.state = invalid
		return nil
	}
	*n = number{value: v, state: present}
	return nil
}

// An instant is a time in whole Unix seconds that may be absent or invalid.
// The kubelet's "no time" is null or the year 1.
type instant struct {
	seconds int64
	state   presence
}

// UnmarshalJSON takes what metav1.Time takes (RFC 3339), from 1970 on.
func (t *instant) UnmarshalJSON(b []byte) error {
	*t = instant{}
	if string(b) == "null" {
		return nil
	}
	var parsed time.Time
	var err error
	if text, plain := unquote(b); plain {
		parsed, err = time.Parse(time.RFC3339, string(text))
	} else {
		var s string // escapes in a time are legal, and never seen
		if err = json.Unmarshal(b, &s); err == nil {
			parsed, err = time.Parse(time.RFC3339, s)
		}
	}
	switch {
	case err != nil:
		t.state = invalid
	case parsed.IsZero():
	case parsed.Unix() < 0:
		t.state = invalid
	default:
		*t = instant{seconds: parsed.Unix(), state: present}
	}
	return nil
}

// unquote returns what stands between the quotes of a JSON string, if that is
// its value as it is.
func unquote(b []byte) (text []byte, plain bool) {
	if len(b) < 2 || b[0] != '"' {
		return nil, false
	}
	text = b[1 : len(b)-1]
	for _, c := range text {
		if c == '\\' || c >= 0x80 {
			return nil, false
		}
	}
	return text, true
}
