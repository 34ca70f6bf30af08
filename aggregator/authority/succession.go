package authority

import (
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

const (
	// lifetime of a CA.
	lifetime = 365 * 24 * time.Hour
	// announce is how long before the end of the newest CA its successor is made
	// and published. A fleet that nobody looks after for a month is in more
	// trouble than certificates.
	announce = 30 * 24 * time.Hour
	// adopt is how long after that the successor signs. By then every agent has
	// it: a mounted ConfigMap takes two minutes at most, a node that sleeps for
	// longer than a week enrols when it is back.
	adopt = 7 * 24 * time.Hour
)

// succeed makes of the CAs, oldest first, those that there should be now: with a
// first one, with a successor in time, without those that have ended, and without
// the keys of those that will not sign again. It tells whether that changed
// anything. The slice that it got stays as it is.
func succeed(authorities []*identity.Authority, name string, now time.Time) ([]*identity.Authority, bool, error) {
	next := slices.DeleteFunc(slices.Clone(authorities), func(a *identity.Authority) bool { return !now.Before(a.Cert.NotAfter) })
	changed := len(next) != len(authorities)
	if len(next) == 0 || next[len(next)-1].Cert.NotAfter.Sub(now) < announce || !next[len(next)-1].Signs() {
		a, err := identity.NewAuthority(name, now.Add(-identity.Backdated), now.Add(lifetime))
		if err != nil {
			return nil, false, err
		}
		next, changed = append(next, a), true
	}
	signing := signer(next, now)
	for i, a := range next {
		if a == signing {
			break
		}
		if a.Signs() {
			next[i], changed = a.Retired(), true
		}
	}
	return next, changed, nil
}

// signer is the CA that signs now: the newest that has been there for long
// enough for all to trust it, or else the oldest that can; nil if there is none.
func signer(authorities []*identity.Authority, now time.Time) *identity.Authority {
	var chosen *identity.Authority
	for _, a := range authorities {
		made := a.Cert.NotBefore.Add(identity.Backdated)
		if a.Signs() && !now.Before(a.Cert.NotBefore) && (chosen == nil || now.Sub(made) >= adopt) {
			chosen = a
		}
	}
	return chosen
}

// bundle is what agents need to trust, PEM.
func bundle(authorities []*identity.Authority) string {
	var pem []byte
	for _, a := range authorities {
		pem = append(pem, identity.EncodeCertificate(a.Cert)...)
	}
	return string(pem)
}
