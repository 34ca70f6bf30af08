package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/rollcall-metrics/rollcall/aggregator/api"
	"github.com/rollcall-metrics/rollcall/aggregator/authority"
	"github.com/rollcall-metrics/rollcall/aggregator/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
	"github.com/rollcall-metrics/rollcall/pkg/roster"
)

// identify finds out who this aggregator is: from files, or, later, from the
// authority in the cluster.
func (a *Aggregator) identify(version string) (err error) {
	if a.cfg.Authority || a.cfg.Expected == fromKubernetes {
		if a.kube, err = connect(a.cfg.Kubeconfig, version); err != nil {
			return err
		}
	}
	if a.cfg.Authority {
		a.id = identity.New(identity.Peer{Role: identity.Aggregator, Name: a.cfg.Name}, a.log, a.reg)
		var names []string
		if a.cfg.ResourceMetrics {
			names = []string{a.cfg.ResourceService + "." + a.cfg.Namespace + ".svc"} // as the API server calls it
		}
		a.keeper = authority.New(authority.Config{
			DNSNames: names,
			Secrets:  a.kube.CoreV1().Secrets(a.cfg.Namespace), ConfigMaps: a.kube.CoreV1().ConfigMaps(a.cfg.Namespace), Skew: a.kube.clock.skew,
		}, a.id, a.log, a.reg)
		a.cfg.Roster.Keys = a.keeper.GossipKeys
		return nil
	}
	if a.id, err = identity.Load(a.cfg.Identity, a.log, a.reg); err != nil {
		return err
	}
	if self := a.id.Self(); self.Role != identity.Aggregator {
		return fmt.Errorf("--tls-cert-file %s is the certificate of %v, no agent answers that; it needs the URI SAN rollcall://aggregator/NAME", a.cfg.Identity.Cert, self)
	}
	return nil
}

// enrolment serves other members: agents that want a certificate, and
// aggregators that rotate the gossip key.
func (a *Aggregator) enrolment() obs.Server {
	tokens := enrol.NewTokens(a.kube.AuthenticationV1().TokenReviews(), a.cfg.Namespace, a.cfg.AgentAccount)
	mux := http.NewServeMux()
	mux.Handle("/", enrol.Handler(tokens, a.keeper, a.log, a.reg))
	mux.HandleFunc("GET "+api.KeysPage, func(w http.ResponseWriter, r *http.Request) {
		// Whoever has a certificate is an aggregator: see EnrolmentConfig.
		if len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "aggregators only", http.StatusForbidden)
			return
		}
		a.survey().ServeOwn(w, r)
	})
	return obs.Server{
		Name: "enrolment", Listener: a.listeners[3], TLS: a.id.EnrolmentConfig(identity.Aggregator),
		Handler: mux, WriteTimeout: enrolWrite,
	}
}

func (a *Aggregator) survey() *api.Survey {
	return &api.Survey{
		Self: identity.Peer{Role: identity.Aggregator, Name: a.cfg.Name},
		Own: func() []string {
			if r := a.roster.Load(); r != nil {
				return r.KeyIDs()
			}
			return nil
		},
		Roster: func() api.Members { return a.snapshot() }, Expected: func() []string { return a.expected().Nodes() },
		Ask: a.askKeys,
	}
}

// askKeys fetches the page of another member's gossip keys.
func (a *Aggregator) askKeys(ctx context.Context, m roster.Member) (*http.Response, error) {
	if m.Role == identity.Agent {
		return a.agents.Debug(ctx, m.Name, "keys", "")
	}
	at := net.JoinHostPort(m.Addr.String(), strconv.Itoa(int(m.PeerPort)))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at+api.KeysPage, nil)
	if err != nil {
		return nil, err
	}
	// One request in a blue moon: the connection is not kept.
	transport := &http.Transport{TLSClientConfig: a.id.ClientConfig(m.Peer()), DisableKeepAlives: true}
	return transport.RoundTrip(req)
}
