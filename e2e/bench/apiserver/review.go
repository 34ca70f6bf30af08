package apiserver

import (
	"io"
	"net/http"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// reviewAccess allows everyone everything.
func (s *server) reviewAccess(w http.ResponseWriter, r *http.Request) {
	s.accessReviews.Add(1)
	review(w, r, func(v *authorization.SubjectAccessReview) { v.Status.Allowed = true })
}

// reviewToken believes every token.
func (s *server) reviewToken(w http.ResponseWriter, r *http.Request) {
	s.tokenReviews.Add(1)
	review(w, r, func(v *authentication.TokenReview) {
		v.Status.Authenticated, v.Status.User.Username = true, "bench"
	})
}

// review answers a review as decide does.
func review[T runtime.Object](w http.ResponseWriter, r *http.Request, decide func(T)) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client hung up
	}
	o, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v, ok := o.(T)
	if !ok {
		http.Error(w, "not such a review", http.StatusBadRequest)
		return
	}
	decide(v)
	reply(w, r, http.StatusCreated, v)
}
