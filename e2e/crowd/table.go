package crowd

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync"

	"github.com/hashicorp/memberlist"
)

// witnesses is how many members of the crowd suspect a silent one: with the
// usual SuspicionMult of 4 a member waits for two besides its first source
// before it takes the short way from suspect to dead.
const witnesses = 3

// member is one of the crowd or a guest.
type member struct {
	name        string // in gossip
	addr        netip.AddrPort
	meta        []byte
	vsn         []byte
	incarnation uint32
	state       memberlist.NodeStateType
	guest       *guest // nil: one of the crowd
	silent      bool   // one of the crowd that does not answer
}

func (m *member) gone() bool {
	return m.state == memberlist.StateDead || m.state == memberlist.StateLeft
}

func (m *member) alive() alive {
	return alive{m.incarnation, m.name, m.addr.Addr().AsSlice(), m.addr.Port(), m.meta, m.vsn}
}

// table is what the crowd knows, with memberlist's rules for what replaces
// what (its state.go); what is new is told to guests.
type table struct {
	copies int // how often a guest hears a message
	counts *counts

	mu     sync.Mutex
	crowd  []*member
	guests []*member
	names  map[string]*member
	addrs  map[netip.Addr]*member // the crowd's
}

// answering finds the member of the crowd at an address, unless it is silent.
func (t *table) answering(addr netip.Addr) (name string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.addrs[addr]
	if m == nil || m.silent {
		return "", false
	}
	return m.name, true
}

// answers tells whether the name is one of the crowd, and whether it answers.
func (t *table) answers(name string) (ours, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.names[name]
	ours = m != nil && m.guest == nil
	return ours, ours && !m.silent
}

// someone is any member of the crowd that answers; the first, should all be silent.
func (t *table) someone() *member {
	for range 100 {
		if m := t.crowd[rand.IntN(len(t.crowd))]; !m.silent {
			return m
		}
	}
	for _, m := range t.crowd {
		if !m.silent {
			return m
		}
	}
	return t.crowd[0]
}

// states is everyone, for a push/pull.
func (t *table) states() []nodeState {
	t.mu.Lock()
	defer t.mu.Unlock()
	states := make([]nodeState, 0, len(t.names))
	for _, list := range [][]*member{t.crowd, t.guests} {
		for _, m := range list {
			states = append(states, nodeState{m.name, m.addr.Addr().AsSlice(), m.addr.Port(), m.meta, m.incarnation, m.state, m.vsn})
		}
	}
	return states
}

// merge takes what a guest said in a push/pull. What it takes for dead is only
// suspected, as memberlist does.
func (t *table) merge(states []nodeState) {
	for _, s := range states {
		switch s.State {
		case memberlist.StateAlive:
			t.alive(alive{s.Incarnation, s.Name, s.Addr, s.Port, s.Meta, s.Vsn})
		case memberlist.StateLeft:
			t.dead(accusation{s.Incarnation, s.Name, s.Name})
		default:
			t.mu.Lock()
			from := t.someone().name
			t.mu.Unlock()
			t.suspect(accusation{s.Incarnation, s.Name, from})
		}
	}
}

func (t *table) alive(a alive) {
	addr, ok := netip.AddrFromSlice(a.Addr)
	at := netip.AddrPortFrom(addr.Unmap(), a.Port)
	if !ok || a.Port == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.names[a.Node]
	switch {
	case m == nil:
		m = &member{name: a.Node, guest: &guest{}}
		t.names[a.Node] = m
		t.guests = append(t.guests, m)
	case m.guest == nil:
		// Guests repeat what we have told them. A higher incarnation is someone
		// else's claim.
		if a.Incarnation > m.incarnation && !m.silent {
			t.refute(m, a.Incarnation)
		}
		return
	case m.addr != at && !m.gone():
		return // two guests of one name: the first stays
	case a.Incarnation <= m.incarnation && m.addr == at:
		return
	}
	m.addr, m.meta, m.vsn = at, bytes.Clone(a.Meta), bytes.Clone(a.Vsn)
	m.incarnation, m.state = a.Incarnation, memberlist.StateAlive
	t.tell(m, aliveType, a.Node, a)
}

func (t *table) suspect(s accusation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.names[s.Node]
	if m == nil || s.Incarnation < m.incarnation || m.gone() || t.refuted(m, s.Incarnation) {
		return
	}
	if m.state == memberlist.StateSuspect {
		return
	}
	m.incarnation, m.state = s.Incarnation, memberlist.StateSuspect
	t.tell(nil, suspectType, s.Node, s) // the suspected one, too: it may refute
}

func (t *table) dead(d accusation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.names[d.Node]
	if m == nil || d.Incarnation < m.incarnation || m.gone() || t.refuted(m, d.Incarnation) {
		return
	}
	t.tell(nil, deadType, d.Node, d)
	m.incarnation, m.state = d.Incarnation, memberlist.StateDead
	if d.From == d.Node {
		m.state = memberlist.StateLeft
	}
}

// refuted tells whether an accusation is of one of the crowd that answers, and
// so has been refuted. The lock is held.
func (t *table) refuted(m *member, accused uint32) bool {
	if m.guest != nil {
		return false
	}
	t.counts.accused.Add(1)
	if m.silent {
		return false
	}
	t.refute(m, accused)
	return true
}

// refute says that a member of the crowd is well. The lock is held.
func (t *table) refute(m *member, accused uint32) {
	m.incarnation, m.state = accused+1, memberlist.StateAlive
	t.tell(nil, aliveType, m.name, m.alive())
}

// accuse has some of the crowd suspect a member. The lock is held.
func (t *table) accuse(m *member) {
	m.state = memberlist.StateSuspect
	for i := range witnesses {
		// All of them count, so none replaces another.
		t.say(nil, suspectType, m.name, accusation{m.incarnation, m.name, t.someone().name}, i == 0)
	}
}

// tell queues a message about a member for all guests that are not gone, but for
// one. It replaces what was to be told of it before. The lock is held.
func (t *table) tell(but *member, kind byte, about string, message any) {
	t.say(but, kind, about, message, true)
}

// say is tell, but may leave what was to be told before.
func (t *table) say(but *member, kind byte, about string, message any, replace bool) {
	var b []byte
	for _, g := range t.guests {
		if g == but || g.gone() {
			continue
		}
		if b == nil {
			b = encode(kind, message)
		}
		g.guest.queue.add(about, b, replace)
	}
}
