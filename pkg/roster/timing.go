package roster

import "time"

// Timing holds all intervals and sizes of gossip. The zero Timing stands for
// [DefaultTiming]; anything else must be complete, so start from one of the two.
type Timing struct {
	// GossipInterval is how often queued messages are sent, to GossipNodes
	// random members each time.
	GossipInterval time.Duration
	GossipNodes    int
	// GossipToTheDead is how long a dead member still gets gossip, so that it
	// can refute. After that it is forgotten by memberlist (not by the roster).
	GossipToTheDead time.Duration
	// ProbeInterval is how often one member is probed, ProbeTimeout how long an
	// answer may take before others are asked to probe it too.
	ProbeInterval time.Duration
	ProbeTimeout  time.Duration
	// SuspicionMult times log10(members) times ProbeInterval is how long a
	// silent member is suspected before it is dead; SuspicionMaxMult times as
	// long while few others confirm it.
	SuspicionMult    int
	SuspicionMaxMult int
	// PushPull is how often all is exchanged with one random member; memberlist
	// stretches it with the number of members, from 32 on.
	PushPull time.Duration
	// TCPTimeout bounds a join, a push/pull and a probe over TCP.
	TCPTimeout time.Duration
	// DeadNodeReclaim is how long a member must be dead before its name is
	// accepted with a new address.
	DeadNodeReclaim time.Duration
	// HandoffQueueDepth is how many received messages may wait.
	HandoffQueueDepth int
	// UDPBufferSize is the size of the largest packet, in bytes.
	UDPBufferSize int
	// QueueCheckInterval is how often memberlist measures its own queue.
	QueueCheckInterval time.Duration

	// JoinJitter is the most that an agent waits before its first join, and
	// before one after losing all aggregators. Aggregators never wait.
	JoinJitter time.Duration
	// Rejoin are the times after the first join at which to look whether it
	// worked, and to join again if not.
	Rejoin []time.Duration
	// RejoinAfter is how long an agent bears to see no aggregator.
	RejoinAfter time.Duration
	// Heal is how often an aggregator joins whom it misses.
	Heal time.Duration

	// KeyPoll is how often the key file is read.
	KeyPoll time.Duration
	// Coalesce is the least time between two snapshots.
	Coalesce time.Duration
	// LeaveSpread is how long a member that leaves waits between announcing it
	// and going: a later message about a member replaces an earlier one that is
	// still queued, so the announcement must have reached everyone before.
	LeaveSpread time.Duration
	// LeaveTimeout bounds each of the two broadcasts of a leave, which take a
	// few rounds of gossip.
	LeaveTimeout time.Duration
	// Forget is how long a departed member stays known.
	Forget time.Duration
}

// DefaultTiming is for up to 5000 members in one network.
func DefaultTiming() Timing {
	return Timing{
		// Twice the fan-out of memberlist's default: 7^5 > 5000, so news needs five
		// rounds, one second.
		GossipInterval:  200 * time.Millisecond,
		GossipNodes:     6,
		GossipToTheDead: 30 * time.Second, // memberlist's default
		// Half as often as the default: at 5000 members a dead one is found by
		// some prober within seconds anyway, and probes are most of the idle cost.
		ProbeInterval: 2 * time.Second,
		// Twice the default: a member starved of CPU for half a second is not dead.
		ProbeTimeout:     time.Second,
		SuspicionMult:    4,                // memberlist's default
		SuspicionMaxMult: 6,                // memberlist's default
		PushPull:         30 * time.Second, // memberlist's default; 270 s at 5000
		TCPTimeout:       10 * time.Second, // a seed hands 1 MB to each of 120 joining at once
		// As short as it can be: whoever holds the key can kill a name anyway, and
		// a rebooted node must get back in with its new address.
		DeadNodeReclaim: time.Second,
		// Four times the default: a mass start brings thousands of messages a second.
		HandoffQueueDepth: 4096,
		// Below the default of 1400, for overlay networks with an MTU of 1280 to
		// 1450 and their headers.
		UDPBufferSize:      1200,
		QueueCheckInterval: 30 * time.Second, // memberlist's default
		// 5000 agents in 30 s are 170 joins a second; a seed takes 128 at once.
		JoinJitter: 30 * time.Second,
		// 10 to 13 s is what it takes in a small fleet until a killed member's
		// name is free again.
		Rejoin:      []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 60 * time.Second},
		RejoinAfter: time.Minute,
		Heal:        30 * time.Second,
		KeyPoll:     10 * time.Second,
		// A snapshot of 5000 is a copy of 40 KB; four a second are nothing.
		Coalesce: 250 * time.Millisecond,
		// Ten rounds of gossip, twice what news needs.
		LeaveSpread:  2 * time.Second,
		LeaveTimeout: 5 * time.Second,
		Forget:       24 * time.Hour, // as long as history is kept by default
	}
}

// LocalTiming is for a small fleet on one machine and for tests: a killed
// member is dead within about 3 s.
func LocalTiming() Timing {
	t := DefaultTiming()
	t.GossipInterval = 50 * time.Millisecond
	t.ProbeInterval = 250 * time.Millisecond
	t.ProbeTimeout = 100 * time.Millisecond
	t.SuspicionMult = 3
	t.SuspicionMaxMult = 2
	t.PushPull = 5 * time.Second
	t.TCPTimeout = 2 * time.Second
	t.DeadNodeReclaim = 250 * time.Millisecond
	t.JoinJitter = 0
	t.Rejoin = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second}
	t.RejoinAfter = 2 * time.Second
	t.Heal = time.Second
	t.KeyPoll = 100 * time.Millisecond
	t.Coalesce = 50 * time.Millisecond
	t.LeaveSpread = 200 * time.Millisecond
	t.LeaveTimeout = 500 * time.Millisecond
	return t
}
