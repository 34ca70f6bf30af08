package roster

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

type metrics struct {
	members *prometheus.GaugeVec   // role, state
	joins   *prometheus.CounterVec // result
	events  *prometheus.CounterVec // event
	refused *prometheus.CounterVec // reason
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rollcall_roster_members",
			Help: "Members known by gossip, this process included. The dead and the left count for 24 h.",
		}, []string{"role", "state"}),
		joins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_roster_joins_total",
			Help: "Addresses that this process tried to join, and names that it could not resolve.",
		}, []string{"result"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_roster_events_total",
			Help: "Changes of members heard by gossip.",
		}, []string{"event"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rollcall_roster_refused_total",
			Help: "Claims to be a member that were refused, and messages of strangers.",
		}, []string{"reason"}),
	}
	reg.MustRegister(m.members, m.joins, m.events, m.refused)
	for _, result := range []string{"ok", "failed", "unresolved"} {
		m.joins.WithLabelValues(result)
	}
	for _, event := range []string{"join", "update", "leave", "dead"} {
		m.events.WithLabelValues(event)
	}
	for _, reason := range []string{badName, badMeta, wrongRole, badAddress, conflict, wrongLabel, noKey} {
		m.refused.WithLabelValues(reason)
	}
	return m
}

// count sets the number of members of each role and state.
func (m *metrics) count(entries []*entry) {
	type kind struct {
		role  identity.Role
		state State
	}
	n := map[kind]int{}
	for _, e := range entries {
		n[kind{e.Role, e.state}]++
	}
	for _, role := range []identity.Role{identity.Agent, identity.Aggregator} {
		for _, state := range []State{Alive, Dead, Left} {
			m.members.WithLabelValues(string(role), state.String()).Set(float64(n[kind{role, state}]))
		}
	}
}
