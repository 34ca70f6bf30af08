package authority

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/flowcontrol"
	registration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// APIService is the object by which the API server knows whom to ask for
// metrics.k8s.io.
const APIService = "v1beta1.metrics.k8s.io"

// Somebody else may put back what we change, and be as stubborn. We change it at
// once as long as there were fewer than changesAtOnce changes lately, and otherwise
// one each changeEvery.
const (
	changesAtOnce = 10
	changeEvery   = 10 * time.Second
)

// APIServices reads and updates APIServices; a client of Kubernetes is one.
type APIServices interface {
	List(ctx context.Context, opts meta.ListOptions) (*registration.APIServiceList, error)
	Watch(ctx context.Context, opts meta.ListOptions) (watch.Interface, error)
	Update(ctx context.Context, o *registration.APIService, opts meta.UpdateOptions) (*registration.APIService, error)
}

// A RegistrationConfig says which APIService, and whose. All of it is required.
type RegistrationConfig struct {
	// APIServices are the API server's. The client must not have a timeout of its
	// own, which would end watches.
	APIServices APIServices
	// Service is the aggregators', of Namespace, by which the API server asks them.
	Namespace, Service string
}

// A Registration has the API server trust the aggregators when it asks them for
// metrics.k8s.io: it keeps the CAs in the APIService what its [Keeper] publishes,
// as long as that names our Service. Whoever has it name another one, or removes it,
// is left alone.
//
// All aggregators have one, and do the same; none that is behind the others undoes
// what they do. It is safe for concurrent use.
type Registration struct {
	services APIServices
	ours     string // the Service, NAMESPACE/NAME
	keeper   *Keeper
	log      *slog.Logger
	contact  *follow.Contact
	changes  flowcontrol.RateLimiter
	changed  chan struct{} // holds one if the object is another than was looked at

	mu     sync.Mutex
	object *registration.APIService // as it was last; nil: absent
	listed bool                     // otherwise nothing is known
	err    error                    // what was wrong at the last look

	// What the log was told, for Run only: whom the API server asks, and when it was
	// told that something is wrong.
	asked  string
	logged time.Time
}

// NewRegistration returns a Registration, which does nothing before Run. What the
// keeper publishes is what it registers.
func NewRegistration(cfg RegistrationConfig, keeper *Keeper, metrics *follow.Metrics, log *slog.Logger) *Registration {
	return &Registration{
		services: cfg.APIServices, ours: cfg.Namespace + "/" + cfg.Service, keeper: keeper, log: log,
		contact: follow.New("apiservices", func() string { return "an APIService that changes is not noticed" }, log, metrics),
		changes: flowcontrol.NewTokenBucketRateLimiter(float32(time.Second)/float32(changeEvery), changesAtOnce),
		changed: make(chan struct{}, 1),
	}
}

// Run follows the APIService, and changes it where that is needed, until ctx ends.
func (r *Registration) Run(ctx context.Context) {
	only := fields.OneTermEqualSelector(meta.ObjectNameField, APIService).String()
	var working sync.WaitGroup
	working.Go(func() {
		r.contact.Follow(ctx, follow.Source{
			List: func(ctx context.Context, opts meta.ListOptions) (runtime.Object, error) {
				opts.FieldSelector = only
				return r.services.List(ctx, opts)
			},
			Watch: func(ctx context.Context, opts meta.ListOptions) (watch.Interface, error) {
				opts.FieldSelector = only
				return r.services.Watch(ctx, opts)
			},
			Of: &registration.APIService{}, PageSize: 1,
		}, registrationStore{r})
	})
	working.Go(func() { r.keep(ctx) })
	working.Wait()
}

// keep looks whenever the object or the CAs have changed, and again after a while
// where it did not get its way.
func (r *Registration) keep(ctx context.Context) {
	for {
		_, published := r.keeper.Published() // first, to miss nothing
		settled, err := r.look(ctx)
		if ctx.Err() != nil {
			return
		}
		r.tell(err)
		var again <-chan time.Time
		if !settled {
			again = time.After(every)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-published:
		case <-again:
		}
	}
}

// look changes the object if that is needed. Settled tells that there is nothing to
// do before something changes.
func (r *Registration) look(ctx context.Context) (settled bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	o := r.latest()
	want, _ := r.keeper.Published()
	if o == nil || !r.isOurs(o) || want == "" || trusts(o, want) {
		return true, nil
	}
	// Another aggregator may know of a newer CA by now; then it is this one's turn to
	// learn of it first.
	c, err := r.keeper.cfg.ConfigMaps.Get(ctx, TrustConfigMap, meta.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("read ConfigMap %s: %w", TrustConfigMap, absent(err))
	}
	if c.Data[bundleKey] != want {
		return false, nil
	}
	if !r.changes.TryAccept() {
		return false, fmt.Errorf("somebody else changes spec.caBundle or spec.insecureSkipTLSVerify of APIService %s back each time; kubectl get apiservice %s -o yaml --show-managed-fields says who", APIService, APIService)
	}
	o = o.DeepCopy()
	o.Spec.CABundle, o.Spec.InsecureSkipTLSVerify = []byte(want), false
	switch _, err = r.services.Update(ctx, o, meta.UpdateOptions{}); {
	case err == nil:
		r.log.Info("the API server trusts this fleet's CA for metrics.k8s.io", "apiservice", APIService)
		return false, nil // until the watch shows it
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false, nil // the watch is about to say what it is now
	}
	if apierrors.IsForbidden(err) {
		err = fmt.Errorf("%w; grant this aggregator's service account update on %s", err, grant)
	}
	return false, fmt.Errorf("put the CA into APIService %s: %w", APIService, err)
}

// isOurs tells whether it is our Service that the API server asks.
func (r *Registration) isOurs(o *registration.APIService) bool { return serviceOf(o) == r.ours }

// latest is the object as it was last, nil if there is none, or it is not known.
func (r *Registration) latest() *registration.APIService {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.object
}

// see takes the object as it is now.
func (r *Registration) see(o *registration.APIService) {
	r.mu.Lock()
	r.object, r.listed = o, true
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default: // will be looked at anyway
	}
}

// registrationStore is what is followed.
type registrationStore struct{ r *Registration }

// Set implements [follow.Store], as the methods that follow do.
func (s registrationStore) Set(obj any) error {
	o, ok := obj.(*registration.APIService)
	if !ok {
		return fmt.Errorf("%T is no APIService", obj)
	}
	s.r.see(o)
	return nil
}

func (s registrationStore) Delete(any) error {
	s.r.see(nil)
	return nil
}

func (s registrationStore) Replace(list []any) error {
	if len(list) == 0 {
		return s.Delete(nil)
	}
	return s.Set(list[0])
}

// serviceOf is the Service that is asked, empty if the API server answers itself.
func serviceOf(o *registration.APIService) string {
	if o.Spec.Service == nil {
		return ""
	}
	return o.Spec.Service.Namespace + "/" + o.Spec.Service.Name
}

// trusts tells whether exactly these CAs are trusted.
func trusts(o *registration.APIService, bundle string) bool {
	return string(o.Spec.CABundle) == bundle && !o.Spec.InsecureSkipTLSVerify
}
