package authority

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	registration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// apiServices are those of an API server: one or none. It refuses updates of an old
// version.
type apiServices struct {
	t  *testing.T
	mu sync.Mutex

	object  *registration.APIService
	version int
	watches []*watch.RaceFreeFakeWatcher
	down    bool
	refuse  error // updates
	// onUpdate is told of each update that is about to be made.
	onUpdate func()
	updates  int
}

func (s *apiServices) List(_ context.Context, opts meta.ListOptions) (*registration.APIServiceList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	s.only(opts)
	list := &registration.APIServiceList{ListMeta: meta.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
	if s.object != nil {
		list.Items = append(list.Items, *s.object.DeepCopy())
	}
	return list, nil
}

func (s *apiServices) Watch(_ context.Context, opts meta.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	s.only(opts)
	w := watch.NewRaceFreeFake()
	s.watches = append(s.watches, w)
	return w, nil
}

// only: RBAC allows no more.
func (s *apiServices) only(opts meta.ListOptions) {
	if opts.FieldSelector != "metadata.name="+APIService {
		s.t.Errorf("asked for %q", opts.FieldSelector)
	}
}

func (s *apiServices) Update(_ context.Context, o *registration.APIService, _ meta.UpdateOptions) (*registration.APIService, error) {
	s.mu.Lock()
	before := s.onUpdate
	s.mu.Unlock()
	if before != nil {
		before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	group := schema.GroupResource{Group: "apiregistration.k8s.io", Resource: "apiservices"}
	switch {
	case s.down:
		return nil, errDown
	case s.refuse != nil:
		return nil, s.refuse
	case s.object == nil:
		return nil, apierrors.NewNotFound(group, o.Name)
	case o.ResourceVersion != s.object.ResourceVersion:
		return nil, apierrors.NewConflict(group, o.Name, errors.New("the object has been modified"))
	}
	s.updates++
	s.store(o.DeepCopy())
	return o, nil
}

// store puts an object there, nil for none, and tells watches. The caller holds s.mu.
func (s *apiServices) store(o *registration.APIService) {
	s.version++
	old := s.object
	s.object = o
	if o != nil {
		o.ResourceVersion = strconv.Itoa(s.version)
	}
	for _, w := range s.watches {
		switch {
		case w.IsStopped():
		case o == nil:
			w.Delete(old.DeepCopy())
		case old == nil:
			w.Add(o.DeepCopy())
		default:
			w.Modify(o.DeepCopy())
		}
	}
}

// change has somebody else change the object, or make it.
func (s *apiServices) change(f func(*registration.APIService)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &registration.APIService{ObjectMeta: meta.ObjectMeta{Name: APIService}}
	if s.object != nil {
		o = s.object.DeepCopy()
	}
	f(o)
	s.store(o)
}

func (s *apiServices) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// goAway has watches end, and nobody answer; or the opposite.
func (s *apiServices) goAway(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = is
	for _, w := range s.watches {
		if is && !w.IsStopped() {
			w.Stop()
		}
	}
}

func (s *apiServices) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.updates
}

// spec is what is there, and nothing if that is nothing.
func (s *apiServices) spec() registration.APIServiceSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.object == nil {
		return registration.APIServiceSpec{}
	}
	return s.object.Spec
}

// What an operator applies: metrics-server's manifest, and ours over it.
func metricsServer(o *registration.APIService) {
	o.Spec.Service = &registration.ServiceReference{Namespace: "kube-system", Name: "metrics-server"}
	o.Spec.CABundle, o.Spec.InsecureSkipTLSVerify = nil, true
}

func rollcall(o *registration.APIService) {
	o.Spec.Service = &registration.ServiceReference{Namespace: "rollcall", Name: "rollcall-metrics-api"}
}

// registered has a registration run, until the test's bubble ends.
func registered(t *testing.T, s *apiServices, k *Keeper, log *slog.Logger) *Registration {
	cfg := RegistrationConfig{APIServices: s, Namespace: "rollcall", Service: "rollcall-metrics-api"}
	r := NewRegistration(cfg, k, follow.NewMetrics(prometheus.NewRegistry()), log)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return r
}

// looked is a keeper that has published its CA.
func looked(t *testing.T, s *store, name string) *Keeper {
	t.Helper()
	k, _ := keeper(s, name)
	if err := k.look(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return k
}

// checkTrusted checks that the API server asks us, and verifies with these CAs.
func checkTrusted(t *testing.T, s *apiServices, bundle string) {
	t.Helper()
	synctest.Wait()
	if spec := s.spec(); bundle == "" || string(spec.CABundle) != bundle || spec.InsecureSkipTLSVerify {
		t.Errorf("insecure %v, want the bundle\n%s\ngot\n%s", spec.InsecureSkipTLSVerify, bundle, spec.CABundle)
	}
}

// From a cluster with metrics-server to one with Rollcall, through a CA's end, and
// back: whatever changes, the CA is there at once, and only where it belongs.
func TestRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, s := newStore(), &apiServices{t: t}
		k, _ := keeper(objects, "aggregator-1")
		var logged bytes.Buffer
		r := registered(t, s, k, slog.New(slog.NewTextHandler(&logged, nil)))
		began := time.Now()
		says := func(want string, problems int) {
			t.Helper()
			synctest.Wait()
			if got := r.Status(); !strings.Contains(got.Says, want) || len(got.Problems) != problems {
				t.Errorf("status %+v, want %q and %d problems", got, want, problems)
			}
		}
		says("asks nobody", 0)
		s.change(metricsServer)
		says("asks kube-system/metrics-server", 0)
		if err := k.look(t.Context(), began); err != nil {
			t.Fatal(err)
		}
		says("asks kube-system/metrics-server", 0)
		if s.count() != 0 {
			t.Error("changed the APIService of somebody else")
		}

		s.change(rollcall)
		checkTrusted(t, s, objects.bundle())
		says("trusts its CA", 1)
		s.change(func(o *registration.APIService) {
			o.Status.Conditions = []registration.APIServiceCondition{{Type: registration.Available, Status: registration.ConditionTrue}}
		})
		says("trusts its CA", 0)
		first := objects.bundle()
		if err := k.look(t.Context(), began.Add(lifetime-announce+time.Hour)); err != nil {
			t.Fatal(err)
		}
		if objects.bundle() == first {
			t.Fatal("no successor")
		}
		checkTrusted(t, s, objects.bundle())
		if !time.Now().Equal(began) || s.count() != 2 {
			t.Errorf("%d updates, within %v", s.count(), time.Since(began))
		}

		// Back, at first with half a command.
		s.change(func(o *registration.APIService) {
			o.Spec.Service = &registration.ServiceReference{Namespace: "kube-system", Name: "metrics-server"}
		})
		says("asks kube-system/metrics-server", 1)
		s.change(metricsServer)
		says("asks kube-system/metrics-server", 0)
		s.set(func() { s.store(nil) })
		says("asks nobody", 0)
		s.change(func(o *registration.APIService) { o.Spec.Service = nil })
		time.Sleep(time.Hour) // of the bubble's clock
		if s.count() != 2 {
			t.Errorf("%d updates", s.count())
		}
		s.change(rollcall)
		checkTrusted(t, s, objects.bundle())
		synctest.Wait()
		if n := strings.Count(logged.String(), "names who answers"); n != 7 {
			t.Errorf("who answers is logged %d times:\n%s", n, &logged)
		}
	})
}

// Replicas do it once, and one that knows of a CA later does not undo it.
func TestRegistrationOfReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, s := newStore(), &apiServices{t: t}
		first, second := looked(t, objects, "aggregator-1"), looked(t, objects, "aggregator-2")
		log := slog.New(slog.DiscardHandler)
		registered(t, s, first, log)
		late := registered(t, s, second, log)
		s.change(rollcall)
		checkTrusted(t, s, objects.bundle())
		if s.count() != 1 {
			t.Errorf("%d updates", s.count())
		}
		later := time.Now().Add(lifetime - announce + time.Hour)
		if err := first.look(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		checkTrusted(t, s, objects.bundle())
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := late.Status(); s.count() != 2 || !got.Ours || got.Trusted || len(got.Problems) != 0 {
			t.Errorf("%d updates; the late one: %+v", s.count(), got)
		}
		if err := second.look(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := late.Status(); s.count() != 2 || !got.Trusted {
			t.Errorf("%d updates; the late one: %+v", s.count(), got)
		}
	})
}

func TestRegistrationTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, s := newStore(), &apiServices{t: t}
		var logged bytes.Buffer
		r := registered(t, s, looked(t, objects, "aggregator-1"), slog.New(slog.NewTextHandler(&logged, nil)))
		problem := func(want string) {
			t.Helper()
			synctest.Wait()
			got := r.Status()
			if text := strings.Join(got.Problems, "\n"); !strings.Contains(text, want) {
				t.Errorf("status %+v, want %q", got, want)
			}
		}

		// The API server itself writes its status meanwhile.
		once := sync.OnceFunc(func() {
			s.change(func(o *registration.APIService) { o.Status.Conditions = nil })
		})
		s.set(func() { s.onUpdate = once })
		s.change(rollcall)
		checkTrusted(t, s, objects.bundle())
		if strings.Contains(logged.String(), "WARN") || s.count() != 1 {
			t.Errorf("%d updates, logged:\n%s", s.count(), &logged)
		}
		// An operator goes back meanwhile.
		s.set(func() {
			s.onUpdate = sync.OnceFunc(func() { s.change(metricsServer) })
		})
		s.change(func(o *registration.APIService) { o.Spec.CABundle = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if spec := s.spec(); !spec.InsecureSkipTLSVerify || spec.CABundle != nil {
			t.Errorf("changed the APIService of somebody else: %+v", spec)
		}

		s.set(func() {
			s.refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "apiservices"}, APIService, errors.New("no"))
		})
		s.change(rollcall)
		problem("update on apiservices (apiregistration.k8s.io), as the component metrics-api does")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := strings.Count(logged.String(), "WARN"); n < 9 || n > 12 {
			t.Errorf("%d warnings in 10 minutes:\n%s", n, &logged)
		}
		s.set(func() { s.refuse = nil })
		time.Sleep(every)
		checkTrusted(t, s, objects.bundle())

		// Without an API server, all stays.
		s.goAway(true)
		time.Sleep(time.Hour)
		problem("cannot be asked for APIService " + APIService)
		s.set(func() { s.object = nil })
		s.goAway(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := r.Status(); !strings.Contains(got.Says, "asks nobody") || len(got.Problems) > 0 {
			t.Errorf("status %+v", got)
		}
		s.change(rollcall)
		checkTrusted(t, s, objects.bundle())

		// Whatever agents trust is gone: then nobody knows what to publish.
		objects.mu.Lock()
		trust := objects.configMaps[TrustConfigMap]
		delete(objects.configMaps, TrustConfigMap)
		objects.mu.Unlock()
		s.change(func(o *registration.APIService) { o.Spec.InsecureSkipTLSVerify, o.Spec.CABundle = true, nil })
		problem("apply them again")
		objects.mu.Lock()
		objects.configMaps[TrustConfigMap] = trust
		objects.mu.Unlock()
		time.Sleep(every)
		checkTrusted(t, s, objects.bundle())
	})
}

// Somebody puts another CA there each time: we are as stubborn, but no faster.
func TestRegistrationAgainstSomebody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, s := newStore(), &apiServices{t: t}
		r := registered(t, s, looked(t, objects, "aggregator-1"), slog.New(slog.DiscardHandler))
		s.change(rollcall)
		ctx, cancel := context.WithCancel(t.Context())
		var fighting sync.WaitGroup
		fighting.Go(func() {
			for ctx.Err() == nil {
				if len(s.spec().CABundle) > 5 {
					s.change(func(o *registration.APIService) { o.Spec.CABundle = []byte("mine!") })
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := r.Status(); s.count() > 400 || s.count() < 300 || len(got.Problems) == 0 {
			t.Errorf("%d updates in an hour, status %+v", s.count(), got)
		}
		cancel()
		fighting.Wait()
		time.Sleep(time.Minute)
		checkTrusted(t, s, objects.bundle())
	})
}
