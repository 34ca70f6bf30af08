package coverage

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func TestJSON(t *testing.T) {
	c := Coverage{Expected: 3, Asked: 3, Answered: 2, Missing: []Missing{
		{Node: "node-2", Outcome: Timeout, Elapsed: 1500 * time.Millisecond, Err: "no answer\n\"at all\""},
	}}
	const want = `{"expected":3,"asked":3,"answered":2,"complete":false,"missing":[{"node":"node-2","outcome":"timeout","elapsedMs":1500,"error":"no answer\u000a\"at all\""}]}`
	if got := string(c.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string((&Coverage{}).AppendJSON(nil)); got != `{"expected":0,"asked":0,"answered":0,"complete":true,"missing":[]}` {
		t.Errorf("zero coverage %s", got)
	}
}

func TestUnsupportedJSON(t *testing.T) {
	c := Coverage{Expected: 1, Asked: 1, Answered: 1, Unsupported: []Unsupported{{"win-1", `no "Linux"`}, {"win-2", "no Linux"}}}
	if !c.Complete() || c.Share() != 1 {
		t.Error("not complete")
	}
	const want = `{"expected":1,"asked":1,"answered":1,"complete":true,"missing":[],"unsupported":[{"node":"win-1","reason":"no \"Linux\""},{"node":"win-2","reason":"no Linux"}]}`
	if got := string(c.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c.Unsupported = make([]Unsupported, MaxListed+23)
	var got struct {
		Unsupported          []Unsupported
		UnsupportedNotListed int
	}
	if err := json.Unmarshal(c.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Unsupported) != MaxListed || got.UnsupportedNotListed != 23 {
		t.Errorf("%d listed, %d not", len(got.Unsupported), got.UnsupportedNotListed)
	}
}

func TestListIsBounded(t *testing.T) {
	c := Coverage{Expected: 5000}
	for i := range 4900 {
		o := Timeout
		if i%7 == 0 {
			o = Dead
		}
		c.Missing = append(c.Missing, Missing{Node: fmt.Sprintf("node-%04d", i), Outcome: o})
	}
	var got struct {
		Missing   []struct{ Node string }
		NotListed map[Outcome]int
	}
	if err := json.Unmarshal(c.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Missing) != MaxListed || got.NotListed[Timeout]+got.NotListed[Dead] != 4800 || got.NotListed[Dead] != 685 {
		t.Errorf("%d listed, not listed %v", len(got.Missing), got.NotListed)
	}
}

func TestLose(t *testing.T) {
	c := Coverage{Expected: 2, Asked: 2, Answered: 2}
	if !c.Complete() || c.Share() != 1 {
		t.Fatal("not complete")
	}
	c.Lose(Missing{Node: "a", Outcome: Truncated})
	c.Lose(Missing{Node: "a", Outcome: Truncated})
	if c.Complete() || c.Share() != .5 || len(c.Missing) != 1 {
		t.Fatalf("%+v", c)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\x00\"\\\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		if err := json.Unmarshal(AppendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(s)
		if _ = json.Unmarshal(b, &want); got != want {
			t.Fatalf("%q became %q, want %q", s, got, want)
		}
	})
}
