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
	// DeadNodeReclaim is how long a process must be dead before its gossip name is
	// accepted with a new address.
	DeadNodeReclaim time.Duration
	// HandoffQueueDepth is how many received messages may wait.
	HandoffQueueDepth int
	// UDPBufferSize is the size of the largest packet, in bytes.
	UDPBufferSize int
	// QueueCheckInterval is how often memberlist measures its own queue.
	QueueCheckInterval time.Duration

	// StartJitter is the most that an agent waits before its first join.
	// Aggregators never wait.
	StartJitter time.Duration
	// JoinJitter is the most that an agent waits before it joins again after the
	// first join has failed, and after losing all aggregators.
	JoinJitter time.Duration
	// Rejoin are the times after the first join at which to look whether it
	// worked, and to join again if not.
	Rejoin []time.Duration
	// RejoinAfter is how long an agent bears to see no aggregator before it joins
	// again, and then again after half of that.
	RejoinAfter time.Duration
	// Heal is how often an aggregator joins whom it misses.
	Heal time.Duration
	// Exchange is how often an aggregator, while its roster changes, exchanges
	// it with another aggregator's.
	Exchange time.Duration

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

// DefaultTiming is for up to 5000 members in one network, of which all numbers
// here are. A message about a member has 130 bytes, 8 of them fit into a packet.
func DefaultTiming() Timing {
	return Timing{
		// News is sent on to 6 others every 200 ms: 7^5 > 5000, so five rounds, one
		// second, reach everyone, where memberlist's default of 3 needs seven. It is
		// the limit in a storm, too: 5 rounds * 6 packets * 8 = 240 messages a second
		// are sent and received, each message 16 times (4 * ceil(log10(5001))) by
		// each member.
		GossipInterval: 200 * time.Millisecond,
		GossipNodes:    6,
		// memberlist's default. A partition that heals within it heals by gossip.
		GossipToTheDead: 30 * time.Second,
		// Half as often as the default: at 5000 members a dead one is probed by
		// some member every 2 s on average, however long one member takes to probe
		// all (10,000 s); and probes are most of the idle cost, a ping and an ack
		// sent every 2 s.
		ProbeInterval: 2 * time.Second,
		// Twice the default: a member starved of CPU for half a second is not dead.
		// The other half of the interval is for indirect probes.
		ProbeTimeout: time.Second,
		// memberlist's defaults: a member that does not refute is dead after 4 *
		// log10(5000) * 2 s = 30 s if two others confirm the suspicion, which takes
		// them some probe intervals; 6 times as long, 178 s, if nobody does.
		SuspicionMult:    4,
		SuspicionMaxMult: 6,
		// memberlist's default, stretched by memberlist with 1 + ceil(log2(5000/32)):
		// 9 * 30 s = 270 s, then 1 MB each way.
		PushPull: 30 * time.Second,
		// A seed serves one after the other: 10 s are 1000 joins of 8 ms and 1 MB.
		TCPTimeout: 10 * time.Second,
		// As short as it can be: whoever holds the key can kill a name anyway. Only
		// members that don't tell their start (see life) come back by the same name.
		DeadNodeReclaim: time.Second,
		// Four times the default: a mass start brings thousands of messages at
		// once. 4096 of them are 0.5 MB.
		HandoffQueueDepth: 4096,
		// Below the default of 1400, for overlay networks with an MTU of 1280 to
		// 1450 and their headers.
		UDPBufferSize:      1200,
		QueueCheckInterval: 30 * time.Second, // memberlist's default
		// A tenth of 5000, restarted together, are 250 joins a second, what two
		// aggregators with a core each can serve. If it were as long as JoinJitter,
		// the tenth would be missing for longer than a slot.
		StartJitter: 2 * time.Second,
		// All 5000 in 30 s are 170 joins a second, again what two can serve.
		JoinJitter: 30 * time.Second,
		// A backoff, for an agent whose joins fail or whose seed dies at once; and an
		// aggregator that starts finds the others as soon as DNS has them.
		Rejoin: []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 60 * time.Second},
		// An aggregator that restarts is back sooner. Half of it, with 30 s for
		// three addresses that swallow packets, is within the 60 s after a partition
		// heals in which both sides should find each other.
		RejoinAfter: time.Minute,
		// Half of the 60 s in which both sides of a partition should find each other.
		Heal: 30 * time.Second,
		// A third of a slot: all aggregators know of a member that one knows. It
		// costs both 1 MB and 20 ms, less than half a percent of a core.
		Exchange: 5 * time.Second,
		// A Secret takes up to a minute to reach a pod; reading costs nothing.
		KeyPoll: 10 * time.Second,
		// A snapshot of 5000 is a copy of 40 KB that takes 0.25 ms: at most four a
		// second are 0.1 % of a core.
		Coalesce: 250 * time.Millisecond,
		// Ten rounds of gossip, twice what news needs.
		LeaveSpread: 2 * time.Second,
		// Three rounds send a message 16 times; the rest is for a queue before it.
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
	t.StartJitter, t.JoinJitter = 0, 0
	t.Rejoin = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second}
	t.RejoinAfter = 2 * time.Second
	t.Heal, t.Exchange = time.Second, 250*time.Millisecond
	t.KeyPoll = 100 * time.Millisecond
	t.Coalesce = 50 * time.Millisecond
	t.LeaveSpread = 200 * time.Millisecond
	t.LeaveTimeout = 500 * time.Millisecond
	return t
}
