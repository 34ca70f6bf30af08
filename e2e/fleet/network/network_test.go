package network

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

func TestWhoReachesWhom(t *testing.T) {
	type reach struct {
		a, b netip.Addr
		want bool
	}
	inSix := netip.MustParseAddr("::ffff:127.10.0.1")
	for _, test := range []struct {
		name string
		do   func(n *Network)
		want []reach
	}{
		{"at first everyone reaches everyone", func(*Network) {}, []reach{
			{one, two, true}, {one, one, true}, {one, stranger, true},
		}},
		{"partition", func(n *Network) { n.Partition(one, two) }, []reach{
			{one, two, true}, {one, three, false}, {three, one, false}, {two, three, false}, {three, three, true},
		}},
		{"strangers are with the others", func(n *Network) { n.Partition(one) }, []reach{
			{one, stranger, false}, {stranger, one, false}, {two, stranger, true},
		}},
		{"even a stranger can be partitioned", func(n *Network) { n.Partition(stranger, one) }, []reach{
			{one, stranger, true}, {two, stranger, false},
		}},
		{"partition replaced", func(n *Network) { n.Partition(one); n.Partition(two) }, []reach{
			{one, two, false}, {one, three, true}, {two, three, false},
		}},
		{"heal", func(n *Network) { n.Partition(one); n.Heal() }, []reach{
			{one, two, true},
		}},
		{"pause", func(n *Network) { n.Pause(one) }, []reach{
			{one, two, false}, {two, one, false}, {one, stranger, false}, {one, one, false}, {two, three, true},
		}},
		{"resume", func(n *Network) { n.Pause(one); n.Pause(one); n.Resume(one) }, []reach{
			{one, two, true}, {one, one, true},
		}},
		{"resume of what was not paused", func(n *Network) { n.Resume(one) }, []reach{
			{one, two, true},
		}},
		{"heal resumes nobody", func(n *Network) { n.Partition(one); n.Pause(two); n.Heal() }, []reach{
			{one, two, false}, {one, three, true},
		}},
		{"resume heals nothing", func(n *Network) { n.Partition(one); n.Pause(one); n.Resume(one) }, []reach{
			{one, two, false}, {one, one, true},
		}},
		{"an IPv4 address in an IPv6 one", func(n *Network) { n.Partition(inSix); n.Pause(inSix); n.Resume(inSix) }, []reach{
			{one, two, false},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := New()
			test.do(n)
			for _, r := range test.want {
				if open, _ := n.link(r.a, r.b); open != r.want {
					t.Errorf("%s reaches %s: %t, want %t", r.a, r.b, open, r.want)
				}
			}
		})
	}
}

func TestAwait(t *testing.T) {
	n := New()
	n.Partition(one)
	ctx, cancel := context.WithCancel(t.Context())
	await := func() <-chan error { return begin(func() error { return n.await(ctx, one, two) }) }

	waiting := await()
	blocked(t, "cut link", waiting)
	n.Partition(three)
	if err := ended(t, "wait for the link", waiting); err != nil {
		t.Error(err)
	}

	n.Pause(two)
	waiting = await()
	blocked(t, "paused host", waiting)
	cancel()
	if err := ended(t, "wait for the link", waiting); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
