package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	authorization "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is of 30 nodes with 900 pods of 6 deployments.
func request() Request {
	q := Request{Nodes: 30, Pods: 30, Resolution: 15 * time.Second, Seed: 1, Namespace: "rollcall"}
	for i := range 6 {
		q.Deployments = append(q.Deployments, virtual.Deployment{Namespace: fmt.Sprintf("ns-%d", i/2), Name: fmt.Sprintf("dep-%d-5dc9c6f44c", i)})
	}
	return q
}

// theCensus is made once for all tests.
var theCensus = sync.OnceValues(func() (*virtual.Census, error) { return newCensus(request()) })

// start makes a server, which nobody asks yet.
func start(t *testing.T) *server {
	t.Helper()
	q := request()
	q.FrontProxyCA = filepath.Join(t.TempDir(), "ca.pem")
	q.Files.CA = q.FrontProxyCA
	if err := os.WriteFile(q.FrontProxyCA, []byte("the CA"), 0o600); err != nil {
		t.Fatal(err)
	}
	census, err := theCensus()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(q, census)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connect makes a client as an aggregator's is.
func connect(t *testing.T, s *server) kubernetes.Interface {
	t.Helper()
	web := httptest.NewServer(s)
	cfg := &rest.Config{Host: web.URL, QPS: -1, ContentConfig: rest.ContentConfig{
		ContentType: runtime.ContentTypeProtobuf, AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
	}}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return client
}

func TestLists(t *testing.T) {
	s := start(t)
	client := connect(t, s)
	var pods []corev1.Pod
	for opts := (metav1.ListOptions{Limit: 250}); ; {
		page, err := client.CoreV1().Pods("").List(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, page.Items...)
		if page.ResourceVersion != "1000000" {
			t.Errorf("version %q", page.ResourceVersion)
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			break
		}
	}
	sorted := slices.IsSortedFunc(pods, func(a, b corev1.Pod) int {
		return bytes.Compare([]byte(a.Namespace+"/"+a.Name), []byte(b.Namespace+"/"+b.Name))
	})
	if len(pods) != 900 || !sorted {
		t.Fatalf("%d pods, sorted: %v", len(pods), sorted)
	}
	size := 0
	for i := range pods {
		size += pods[i].Size()
		if p := &pods[i]; p.Spec.NodeName == "" || len(p.UID) != 36 || p.Labels["pod-template-hash"] != "5dc9c6f44c" || p.Status.Phase != corev1.PodRunning {
			t.Fatalf("pod %+v", p)
		}
	}
	if mean := size / len(pods); mean < 4500 || mean > 5500 {
		t.Errorf("a pod has %d bytes", mean)
	}
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 30 || nodes.Items[29].Name != "node-30" {
		t.Fatalf("%d nodes, %v", len(nodes.Items), err)
	}
	if size := nodes.Items[7].Size(); size < 12_000 || size > 18_000 {
		t.Errorf("a node has %d bytes", size)
	}
	sets, err := client.AppsV1().DaemonSets("rollcall").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(sets.Items) != 1 || sets.Items[0].Name != "rollcall-agent" {
		t.Errorf("DaemonSets %v, %v", sets, err)
	}
	trusted, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil || trusted.Data["requestheader-client-ca-file"] != "the CA" {
		t.Errorf("ConfigMap %v, %v", trusted, err)
	}
	if _, err := client.CoreV1().Secrets("rollcall").Get(t.Context(), "x", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a Secret: %v", err)
	}
	may, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorization.SubjectAccessReview{}, metav1.CreateOptions{})
	if err != nil || !may.Status.Allowed {
		t.Errorf("review %v, %v", may, err)
	}
	if c := s.counts(); c.Pods != 900 || c.AccessReviews != 1 || len(c.Unknown) != 1 {
		t.Errorf("counts %+v", c)
	}
}

// Lists of pods wait while they are held.
func TestHold(t *testing.T) {
	s := start(t)
	client := connect(t, s)
	s.hold(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); err == nil {
		t.Error("a list did not wait")
	}
	s.hold(false)
	if _, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// Informers of newer clients want the list as events of a watch.
func TestInitialEvents(t *testing.T) {
	s := start(t)
	yes := true
	w, err := connect(t, s).CoreV1().ConfigMaps("kube-system").Watch(t.Context(), metav1.ListOptions{
		SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	first, second := <-w.ResultChan(), <-w.ResultChan()
	if m, ok := first.Object.(*corev1.ConfigMap); !ok || first.Type != watch.Added || m.Data["client-ca-file"] != "the CA" {
		t.Errorf("first %+v", first)
	}
	if m, ok := second.Object.(*corev1.ConfigMap); !ok || second.Type != watch.Bookmark || m.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
		t.Errorf("second %+v", second)
	}
}

// Whoever lists and watches knows who is there, as pods come and go.
func TestMove(t *testing.T) {
	s := start(t)
	client := connect(t, s)
	known := map[string]bool{}
	page, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range page.Items {
		known[string(page.Items[i].UID)] = true
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := client.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{ResourceVersion: page.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	now := time.Now()
	for range 72 { // six hours
		now = now.Add(5 * time.Minute)
		s.pods.move(now)
	}
	events := s.pods.latest().version - 1_000_000
	if events < 20 {
		t.Fatalf("%d events", events)
	}
	for range events {
		e := <-w.ResultChan()
		if p := e.Object.(*corev1.Pod); e.Type == watch.Added {
			known[string(p.UID)] = true
		} else if delete(known, string(p.UID)); e.Type != watch.Deleted {
			t.Fatalf("event %v", e)
		}
	}
	census, err := theCensus()
	if err != nil {
		t.Fatal(err)
	}
	if page, err = client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for i := range page.Items {
		listed[string(page.Items[i].UID)] = true
	}
	for r := range census.At(s.pods.slot) {
		if !known[r.UID] || !listed[r.UID] || len(listed) != 900 {
			t.Fatalf("%v is not known, or not listed", r.PodRef)
		}
		delete(known, r.UID)
	}
	if len(known) > 0 {
		t.Errorf("%d pods are gone, and known", len(known))
	}
}

// All nodes say once in five minutes that they are well.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.move(ctx)
		}()
		time.Sleep(heartbeat + time.Second)
		cancel()
		<-done
		if beats := s.nodes.latest().version - 1_000_000; beats != 30 {
			t.Errorf("%d heartbeats of 30 nodes", beats)
		}
	})
}

func TestKubeconfig(t *testing.T) {
	if b := Kubeconfig("https://127.0.0.1:1", "/tmp/ca.pem"); json.Valid(b) || !bytes.Contains(b, []byte(`server: "https://127.0.0.1:1"`)) {
		t.Errorf("%s", b)
	}
}
