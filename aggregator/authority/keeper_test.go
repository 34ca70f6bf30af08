package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// apiName is a name of aggregators for those who know nothing of URIs.
const apiName = "rollcall-metrics-api.rollcall.svc"

func keeper(s *store, name string) (*Keeper, *identity.Source) { return keeperOf(s, name, apiName) }

func keeperOf(s *store, name string, dnsNames ...string) (*Keeper, *identity.Source) {
	log := slog.New(slog.DiscardHandler)
	id := identity.New(identity.Peer{Role: identity.Aggregator, Name: name}, log, prometheus.NewRegistry())
	return New(Config{
		Secrets: secretStore{s}, ConfigMaps: configMapStore{s}, Skew: func() time.Duration { return s.skew }, DNSNames: dnsNames,
	}, id, log, prometheus.NewRegistry()), id
}

// agent is the certificate of an agent, and what it trusts.
func agent(t *testing.T, k *Keeper, s *store, now time.Time) *identity.Source {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	peer := identity.Peer{Role: identity.Agent, Name: "node-1"}
	cert, err := issue(k.known.Load().authorities, peer, key.Public(), enrol.Lifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.bundle()))
	a := identity.New(peer, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err := a.Install(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, roots); err != nil {
		t.Fatal(err)
	}
	return a
}

// handshake is an aggregator asking an agent.
func handshake(aggregator, agent *identity.Source) error {
	return shake(aggregator.ClientConfig(agent.Self()), agent.ServerConfig(identity.Aggregator))
}

// shake has two meet.
func shake(asking, answering *tls.Config) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(b, answering)
	client := tls.Client(a, asking)
	failed := make(chan error, 1)
	go func() {
		err := server.Handshake()
		_ = b.Close()
		failed <- err
	}()
	err := client.Handshake()
	_ = a.Close()
	if serverErr := <-failed; err == nil {
		return serverErr
	}
	return err
}

func TestFirstLookMakesEverything(t *testing.T) {
	s := newStore()
	k, id := keeper(s, "aggregator-1")
	if _, err := k.Issue(identity.Peer{Role: identity.Agent, Name: "node-1"}, nil, time.Hour); err == nil {
		t.Error("signed before there was a CA")
	}
	if _, err := k.GossipKeys(); err == nil || k.Err() == nil {
		t.Error("gossip keys before there were any")
	}
	if err := k.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := s.bundle(); !strings.Contains(got, "BEGIN CERTIFICATE") || strings.Contains(got, "KEY") {
		t.Errorf("published %q", got)
	}
	if keys, err := k.GossipKeys(); err != nil || len(keys) != 1 || len(keys[0]) != 32 {
		t.Errorf("gossip keys %v, %v", len(keys), err)
	}
	if err := handshake(id, agent(t, k, s, time.Now())); err != nil {
		t.Errorf("aggregator and agent: %v", err)
	}
	// Nothing changes any more.
	before := s.updates
	if err := k.look(t.Context(), time.Now()); err != nil || s.updates != before {
		t.Errorf("%d updates on the second look, %v", s.updates-before, err)
	}
}

// Two replicas start at the same moment, and agree on one CA and one key.
func TestReplicasRace(t *testing.T) {
	s := newStore()
	first, firstID := keeper(s, "aggregator-1")
	second, secondID := keeper(s, "aggregator-2")
	// The second does all its work between the first one's Get and Update.
	s.meanwhile = func() {
		if err := second.look(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
	}
	if err := first.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	a, b := first.known.Load(), second.known.Load()
	if !a.authorities[0].Cert.Equal(b.authorities[0].Cert) || len(a.authorities) != 1 {
		t.Error("two CAs")
	}
	if !same(a.gossip[0], b.gossip[0]) {
		t.Error("two gossip keys")
	}
	node := agent(t, first, s, time.Now())
	for _, id := range []*identity.Source{firstID, secondID} {
		if err := handshake(id, node); err != nil {
			t.Errorf("%v: %v", id.Self(), err)
		}
	}
	// Many, for real.
	s = newStore()
	var racing sync.WaitGroup
	var ids [8]*identity.Source
	var keepers [8]*Keeper
	for i := range ids {
		keepers[i], ids[i] = keeper(s, "aggregator")
		racing.Go(func() {
			for keepers[i].look(t.Context(), time.Now()) != nil { // loses at most each time somebody wins
			}
		})
	}
	racing.Wait()
	node = agent(t, keepers[0], s, time.Now())
	for i, id := range ids {
		if err := handshake(id, node); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
	}
}

// A year passes, and then two: at every time agents that enrolled up to a day ago
// and trust what was published up to three days ago get along with aggregators.
func TestSuccession(t *testing.T) {
	s := newStore()
	k, _ := keeper(s, "aggregator-1")
	type state struct {
		bundle string
		signed *x509.Certificate
	}
	var past []state
	signers := map[string]bool{}
	start := time.Now()
	for day := range 2 * 366 {
		now := start.Add(time.Duration(day) * 24 * time.Hour)
		if err := k.look(t.Context(), now); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := issue(k.known.Load().authorities, identity.Peer{Role: identity.Agent, Name: "node-1"}, key.Public(), enrol.Lifetime, now)
		if err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		signers[string(cert.AuthorityKeyId)] = true
		past = append(past, state{s.bundle(), cert})
		for back := range min(4, len(past)) {
			old := past[len(past)-1-back]
			oldRoots, roots := x509.NewCertPool(), x509.NewCertPool()
			oldRoots.AppendCertsFromPEM([]byte(old.bundle))
			roots.AppendCertsFromPEM([]byte(s.bundle()))
			check := func(what string, c *x509.Certificate, pool *x509.CertPool, at time.Time) {
				if _, err := c.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
					t.Fatalf("day %d: %s, %d days old: %v", day, what, back, err)
				}
			}
			check("a new certificate, for one who trusts what was published", cert, oldRoots, now)
			check("this aggregator's own, likewise", k.own, oldRoots, now)
			if back <= 1 {
				check("an old certificate, for one who trusts what is", old.signed, roots, now.Add(-time.Hour))
			}
		}
		if keys := strings.Count(s.secret(AuthoritySecret, authoritiesKey), "PRIVATE KEY-----\n") / 2; keys > 2 {
			t.Fatalf("day %d: %d keys are kept", day, keys)
		}
	}
	if len(signers) != 3 {
		t.Errorf("%d CAs signed in two years, want 3", len(signers))
	}
}

func TestTrouble(t *testing.T) {
	good := newStore()
	k, _ := keeper(good, "aggregator-1")
	if err := k.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	content := good.secret(AuthoritySecret, authoritiesKey)
	certificate := content[:strings.Index(content, "-----BEGIN PRIVATE")]
	for name, tt := range map[string]struct {
		broken func(*store)
		want   string
	}{
		"API server down":  {func(s *store) { s.down = true }, "connection refused"},
		"no Secret":        {func(s *store) { delete(s.secrets, AuthoritySecret) }, "apply them again"},
		"no ConfigMap":     {func(s *store) { delete(s.configMaps, TrustConfigMap) }, "apply them again"},
		"no gossip Secret": {func(s *store) { delete(s.secrets, GossipSecret) }, "apply them again"},
		"not PEM":          {func(s *store) { s.set(AuthoritySecret, authoritiesKey, []byte("x")) }, "not PEM"},
		"half of it":       {func(s *store) { s.set(AuthoritySecret, authoritiesKey, []byte(content[:len(content)-60])) }, "not PEM"},
		"key of another": {func(s *store) {
			s.set(AuthoritySecret, authoritiesKey, []byte(certificate+certificate+content[len(certificate):]+content[len(certificate):]))
		}, "PEM block 4"},
		"bad gossip key": {func(s *store) { s.set(GossipSecret, gossipKey, []byte("AAAA\n")) }, "key of 3 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			tt.broken(s)
			k, _ := keeper(s, "aggregator-1")
			before := s.secret0()
			err := k.look(t.Context(), time.Now())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), content[len(certificate)+30:len(certificate)+60]) {
				t.Error("the error tells of the key")
			}
			if before != "" && s.secret0() != before {
				t.Error("overwrote what it could not read")
			}
		})
	}
}

// secret0 is the CA's content, "" without one.
func (s *store) secret0() string {
	if s.secrets[AuthoritySecret] == nil {
		return ""
	}
	return s.secret(AuthoritySecret, authoritiesKey)
}

// Somebody empties the Secrets: the aggregators, which know better, put back what
// was there, and no agent is cut off.
func TestEmptiedSecretsComeBack(t *testing.T) {
	s := newStore()
	k, _ := keeper(s, "aggregator-1")
	if err := k.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	ca, gossip := s.secret(AuthoritySecret, authoritiesKey), s.secret(GossipSecret, gossipKey)
	s.set(AuthoritySecret, authoritiesKey, nil)
	s.set(GossipSecret, gossipKey, nil)
	s.configMaps[TrustConfigMap].Data = nil
	if err := k.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if s.secret(AuthoritySecret, authoritiesKey) != ca || s.secret(GossipSecret, gossipKey) != gossip || s.bundle() == "" {
		t.Error("not as it was")
	}
}

// The API server comes late, goes for a while, and comes back.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.down = true
		k, id := keeper(s, "aggregator-1")
		var running sync.WaitGroup
		running.Go(func() { k.Run(t.Context()) })
		pass := func(d time.Duration) {
			time.Sleep(d) // of the bubble's clock
			synctest.Wait()
		}
		down := func(is bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.down = is
		}
		pass(time.Minute)
		if k.Err() == nil {
			t.Error("no error without an API server")
		}
		select {
		case <-id.Ready():
			t.Error("a certificate without a CA")
		default:
		}
		down(false)
		pass(every)
		<-id.Ready()
		if k.Err() != nil {
			t.Error(k.Err())
		}
		down(true)
		pass(time.Hour)
		if _, err := k.Issue(identity.Peer{Role: identity.Agent, Name: "node-1"}, testKey(t), time.Hour); err != nil || k.Err() == nil {
			t.Errorf("while the API server is down: issue: %v; Err: %v", err, k.Err())
		}
		down(false)
		renewed := k.renew
		pass(enrol.Lifetime * 2 / 3)
		if !k.renew.After(renewed) {
			t.Error("own certificate not renewed")
		}
	})
}

// Whatever one object looks like, the rest goes on, for longer than a certificate
// lives: own certificates are renewed, agents' signed, keys known.
func TestFaultsDoNotSpread(t *testing.T) {
	for name, fault := range map[string]func(*store){
		"API server down":     func(s *store) { s.down = true },
		"CA cannot be read":   func(s *store) { s.set(AuthoritySecret, authoritiesKey, []byte("x")) },
		"CA is gone":          func(s *store) { delete(s.secrets, AuthoritySecret) },
		"trust is gone":       func(s *store) { delete(s.configMaps, TrustConfigMap) },
		"keys cannot be read": func(s *store) { s.set(GossipSecret, gossipKey, []byte("x")) },
		"keys are gone":       func(s *store) { delete(s.secrets, GossipSecret) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			k, _ := keeper(s, "aggregator-1")
			began := time.Now()
			if err := k.look(t.Context(), began); err != nil {
				t.Fatal(err)
			}
			<-k.Ready()
			fault(s)
			for hours := range 48 {
				if err := k.look(t.Context(), began.Add(time.Duration(hours)*time.Hour)); err == nil {
					t.Fatal("no error")
				}
			}
			if left := k.own.NotAfter.Sub(began.Add(47 * time.Hour)); left < enrol.Lifetime/3-time.Hour {
				t.Errorf("the own certificate has %v left", left)
			}
			if _, err := k.Issue(identity.Peer{Role: identity.Agent, Name: "node-1"}, testKey(t), time.Hour); err != nil {
				t.Error(err)
			}
			if keys, err := k.GossipKeys(); err != nil || len(keys) != 1 {
				t.Errorf("%d gossip keys, %v", len(keys), err)
			}
		})
	}
}

// A machine that lives in another year changes nothing, and says so.
func TestWrongClock(t *testing.T) {
	for name, skew := range map[string]time.Duration{"ahead": 366 * 24 * time.Hour, "behind": -366 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			good, _ := keeper(s, "aggregator-1")
			now := time.Now()
			if err := good.look(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			before := s.secret0() + s.bundle()
			s.skew = skew
			bad, id := keeper(s, "aggregator-2")
			if err := bad.look(t.Context(), now.Add(skew)); err == nil || !strings.Contains(err.Error(), "the clock of this node is 8784h0m0s "+name) {
				t.Errorf("error %v", err)
			}
			if s.secret0()+s.bundle() != before {
				t.Error("it changed the CA")
			}
			select {
			case <-id.Ready():
				t.Error("it gave itself a certificate")
			default:
			}
			s.skew = 0
			if err := bad.look(t.Context(), now); err != nil {
				t.Errorf("once its clock is set: %v", err)
			}
		})
	}
}

// When the CAs change, so does the certificate; and none outlives its CA.
func TestCertificatesFollowTheCA(t *testing.T) {
	s := newStore()
	k, _ := keeper(s, "aggregator-1")
	now := time.Now()
	if err := k.look(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	first := k.own
	s.mu.Lock()
	s.secrets, s.configMaps = newStore().secrets, newStore().configMaps
	s.mu.Unlock()
	k.known.Store(&known{}) // as after a restart, which is what makes a new CA
	if err := k.look(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if k.own == first || string(k.own.AuthorityKeyId) == string(first.AuthorityKeyId) {
		t.Error("the certificate is of the old CA")
	}
	short, err := identity.NewAuthority("short", now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := issue([]*identity.Authority{short}, identity.Peer{Role: identity.Agent, Name: "node-1"}, testKey(t), enrol.Lifetime, now)
	if err != nil || cert.NotAfter.After(short.Cert.NotAfter) {
		t.Errorf("%v, %v", cert.NotAfter, err)
	}
	// A CA that begins later signs nothing now.
	later, err := identity.NewAuthority("later", now.Add(time.Hour), now.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if signer([]*identity.Authority{later}, now) != nil {
		t.Error("a CA signs before it begins")
	}
}

// An update that fails for good is not tried again and again; one that loses is.
func TestUpdates(t *testing.T) {
	s := newStore()
	k, _ := keeper(s, "aggregator-1")
	s.meanwhile = func() { s.mu.Lock(); s.down = true; s.mu.Unlock() }
	if err := k.look(t.Context(), time.Now()); err == nil {
		t.Error("no error")
	}
	s.down = false
	// Somebody labels the ConfigMap between Get and Update.
	if err := k.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.configMaps[TrustConfigMap].Data = nil
	s.meanwhile = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c := s.configMaps[TrustConfigMap].DeepCopy()
		c.ResourceVersion = "labelled"
		s.configMaps[TrustConfigMap] = c
	}
	if err := k.look(t.Context(), time.Now()); err != nil || s.bundle() == "" {
		t.Errorf("not published after a conflict: %v", err)
	}
}

func testKey(t *testing.T) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}
