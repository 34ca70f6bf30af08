package enrol

import (
	"context"
	"errors"
	"fmt"
	"slices"

	authentication "k8s.io/api/authentication/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollcall-metrics/rollcall/pkg/enrol"
	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// What the API server adds to the user of a token that is bound to a pod
// (k8s.io/apiserver, pkg/authentication/serviceaccount). The node is there from
// Kubernetes 1.30 on.
const (
	podClaim  = "authentication.kubernetes.io/pod-name"
	nodeClaim = "authentication.kubernetes.io/node-name"
)

// TokenReviews creates TokenReviews; a client of authentication.k8s.io/v1 is one.
type TokenReviews interface {
	Create(ctx context.Context, review *authentication.TokenReview, opts meta.CreateOptions) (*authentication.TokenReview, error)
}

// Tokens has the API server review tokens of the agents' service account.
type Tokens struct {
	reviews TokenReviews
	account string // as a user name
}

// NewTokens expects tokens of that service account.
func NewTokens(reviews TokenReviews, namespace, serviceAccount string) *Tokens {
	return &Tokens{reviews: reviews, account: "system:serviceaccount:" + namespace + ":" + serviceAccount}
}

// Review implements [Reviewer].
func (t *Tokens) Review(ctx context.Context, token string) (Claims, error) {
	if token == "" {
		return Claims{}, &Refusal{WrongToken, errors.New("no token")}
	}
	review, err := t.reviews.Create(ctx, &authentication.TokenReview{
		Spec: authentication.TokenReviewSpec{Token: token, Audiences: []string{enrol.Audience}},
	}, meta.CreateOptions{})
	if err != nil {
		return Claims{}, &Refusal{Unavailable, fmt.Errorf("have the API server review the token: %w", err)}
	}
	status := review.Status
	// An API server that does not know audiences answers without any.
	if !status.Authenticated || !slices.Contains(status.Audiences, enrol.Audience) {
		return Claims{}, &Refusal{WrongToken, fmt.Errorf("the API server does not accept the token for audience %q: %s", enrol.Audience, orNothing(status.Error))}
	}
	claims := Claims{Node: only(status.User.Extra[nodeClaim]), Pod: only(status.User.Extra[podClaim])}
	if status.User.Username != t.account {
		return claims, &Refusal{WrongAccount, fmt.Errorf("the token is of %s, agents run as %s", status.User.Username, t.account)}
	}
	if claims.Pod == "" {
		return claims, &Refusal{Unbound, errors.New("the token is not bound to a pod; agents use one that the kubelet projects into theirs")}
	}
	if !identity.ValidName(claims.Node) {
		return claims, &Refusal{Unbound, errors.New("the API server does not say on which node the token's pod runs; it does from Kubernetes 1.30 on")}
	}
	return claims, nil
}

// only is the value of a claim that has exactly one.
func only(values authentication.ExtraValue) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

func orNothing(text string) string {
	if text == "" {
		return "it says nothing more"
	}
	return text
}
