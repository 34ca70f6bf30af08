package authority

import (
	"fmt"
	"time"

	registration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// grant is what an aggregator needs, and gets of the component metrics-api.
const grant = "apiservices (apiregistration.k8s.io), as the component metrics-api does"

// A RegistrationStatus says whom the API server asks for metrics.k8s.io, and what is
// wrong with that, as JSON.
type RegistrationStatus struct {
	// Says is all of it in a sentence, for people.
	Says string `json:"says"`
	// Service is whom it asks, NAMESPACE/NAME; empty if nobody, or if that is not
	// known. Ours tells that it is our Service, and Trusted that it has our CAs then.
	Service string `json:"service,omitempty"`
	Ours    bool   `json:"ours"`
	Trusted bool   `json:"trusted"`
	// Available is "True", or why the API server gets no answers.
	Available string `json:"available,omitempty"`
	// Contact is when the API server last said something about the APIService; zero
	// if it never did.
	Contact  time.Time `json:"contact,omitzero"`
	Problems []string  `json:"problems,omitempty"`
}

// Status asks nobody.
func (r *Registration) Status() RegistrationStatus {
	r.mu.Lock()
	o, listed, err := r.object, r.listed, r.err
	r.mu.Unlock()
	contact, failed := r.contact.State()
	s := RegistrationStatus{Contact: contact}
	problem := func(format string, args ...any) { s.Problems = append(s.Problems, fmt.Sprintf(format, args...)) }
	if failed != nil {
		problem("The API server cannot be asked for APIService %s since %s (%s: %v).%s",
			APIService, failed.Since.UTC().Format(time.RFC3339), failed.Verb, failed.Err, failed.Hint(grant))
	}
	switch {
	case !listed:
		s.Says = "It is not known yet whom the API server asks for metrics.k8s.io."
		return s
	case o == nil:
		s.Says = "The API server asks nobody for metrics.k8s.io: there is no APIService " + APIService + ". The component metrics-api has one."
		return s
	}
	bundle, _ := r.keeper.Published()
	s.Service, s.Ours, s.Available = serviceOf(o), r.isOurs(o), available(o)
	s.Trusted = s.Ours && bundle != "" && trusts(o, bundle)
	switch {
	case !s.Ours:
		s.Says = fmt.Sprintf("The API server asks %s for metrics.k8s.io, and not this fleet (%s).", s.Service, r.ours)
		if bundle != "" && string(o.Spec.CABundle) == bundle {
			problem("APIService %s names %s, but has the CA of this fleet, with which nothing there can be verified. Remove spec.caBundle, or name %s again.", APIService, s.Service, r.ours)
		}
	case !s.Trusted:
		s.Says = "The API server asks this fleet for metrics.k8s.io, and cannot verify it yet."
	default:
		s.Says = "The API server asks this fleet for metrics.k8s.io, and trusts its CA."
		if s.Available != "True" {
			problem("The API server does not get answers of %s: %s", r.ours, s.Available)
		}
	}
	if err != nil {
		problem("%v", err)
	}
	return s
}

// available is what the API server says of the answers that it gets.
func available(o *registration.APIService) string {
	for _, c := range o.Status.Conditions {
		if c.Type != registration.Available {
			continue
		}
		if c.Status == registration.ConditionTrue {
			return string(c.Status)
		}
		return fmt.Sprintf("%s: %s", c.Reason, c.Message)
	}
	return "Unknown"
}

// tell keeps what was wrong at the last look, and logs it when it begins and each
// minute; and whom the API server asks, when that changes.
func (r *Registration) tell(err error) {
	r.mu.Lock()
	was, o, listed := r.err, r.object, r.listed
	r.err = err
	r.mu.Unlock()
	switch {
	case err != nil && time.Since(r.logged) >= logEvery:
		r.log.Warn("APIService not looked after, trying again", "apiservice", APIService, "err", err)
		r.logged = time.Now()
	case err == nil && was != nil:
		r.log.Info("APIService is well", "apiservice", APIService)
		r.logged = time.Time{}
	}
	if !listed {
		return
	}
	asked := "nobody"
	if o != nil {
		asked = serviceOf(o)
	}
	if asked != r.asked {
		r.log.Info("APIService names who answers metrics.k8s.io", "apiservice", APIService, "service", asked, "ours", asked == r.ours)
		r.asked = asked
	}
}
