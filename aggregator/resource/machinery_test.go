package resource

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/rollcall-metrics/rollcall/pkg/golden"
)

// As HorizontalPodAutoscalers ask, with Kubernetes' own client and protobuf.
func TestProtobuf(t *testing.T) {
	c := serve(t, newFleet("shop/cart", "shop/till"))
	srv := httptest.NewServer(c.handler)
	defer srv.Close()
	client, err := metricsclient.NewForConfig(&rest.Config{Host: srv.URL, ContentConfig: rest.ContentConfig{
		ContentType: runtime.ContentTypeProtobuf, AcceptContentTypes: runtime.ContentTypeProtobuf,
	}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.MetricsV1beta1().PodMetricses("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 || list.Items[0].Name != "cart" || list.Items[0].Containers[0].Usage.Cpu().MilliValue() != 100 || list.Items[0].Window.Seconds() != 15 || list.Items[0].Timestamp.IsZero() {
		t.Errorf("%+v", list)
	}
	nodes, err := client.MetricsV1beta1().NodeMetricses().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) != 2 {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

const tableType = "application/json;as=Table;g=meta.k8s.io;v=v1"

func TestTable(t *testing.T) {
	c := serve(t, newFleet("shop/cart"))
	for path, want := range map[string]string{
		"nodes":                     "Name CPU Memory Swap Window Timestamp|node-1 1500m 4Gi 1Mi 15s T|node-2 1500m 4Gi 1Mi 15s T",
		"pods":                      "Name CPU Memory Swap Window Timestamp|cart 102m 72Mi <none> 15s T",
		"namespaces/shop/pods/cart": "Name CPU Memory Swap Window Timestamp|cart 102m 72Mi <none> 15s T",
	} {
		rec := c.get(path, tableType)
		var table metav1.Table
		if err := json.Unmarshal(rec.Body.Bytes(), &table); err != nil || table.Kind != "Table" {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
			continue
		}
		var lines []string
		var head []string
		for _, col := range table.ColumnDefinitions {
			head = append(head, col.Name)
		}
		lines = append(lines, strings.Join(head, " "))
		for _, row := range table.Rows {
			var cells []string
			for i, cell := range row.Cells {
				text, _ := cell.(string)
				if i == len(row.Cells)-1 && strings.HasSuffix(text, "Z") {
					text = "T"
				}
				cells = append(cells, text)
			}
			lines = append(lines, strings.Join(cells, " "))
		}
		if got := strings.Join(lines, "|"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
		}
	}
}

// What kubectl get, its completion and controllers that only want names ask for.
func TestPartialMetadata(t *testing.T) {
	c := serve(t, newFleet("shop/cart"))
	rec := c.get("pods", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || list.Kind != "PartialObjectMetadataList" || len(list.Items) != 1 || list.Items[0].Name != "cart" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestDiscovery(t *testing.T) {
	c := serve(t, newFleet())
	golden.Compare(t, "discovery.json", string(indented(t, c.get("/apis/metrics.k8s.io/v1beta1", "").Body.Bytes())))
	golden.Compare(t, "aggregated.json", string(indented(t, c.get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").Body.Bytes())))
	for path, want := range map[string]string{
		"/openapi/v2": "io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics",
		"/openapi/v3/apis/metrics.k8s.io/v1beta1": "io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetricsList",
		"/openapi/v3": "apis/metrics.k8s.io/v1beta1",
	} {
		if rec := c.get(path, ""); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d, %d bytes, without %q", path, rec.Code, rec.Body.Len(), want)
		}
	}
}

func indented(t *testing.T, b []byte) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// What is not there is refused as by any API server.
func TestOtherVerbs(t *testing.T) {
	c := serve(t, newFleet("shop/cart"))
	for path, want := range map[string]int{
		"pods?watch=true":                 http.StatusMethodNotAllowed,
		"nodes?watch=true":                http.StatusMethodNotAllowed,
		"namespaces/shop/pods?watch=true": http.StatusMethodNotAllowed,
		"watch/nodes":                     http.StatusNotFound,
	} {
		if rec := c.get(path, ""); rec.Code != want {
			t.Errorf("GET %s: %d %s, want %d", path, rec.Code, rec.Body, want)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		rec := httptest.NewRecorder()
		c.handler.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/cart", strings.NewReader("{}")))
		if rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", method, rec.Code, rec.Body)
		}
	}
	if rec := c.get("pods", "application/xml"); rec.Code != http.StatusNotAcceptable {
		t.Errorf("XML: %d", rec.Code)
	}
}

// Every type that is served can be told to clients in all encodings.
func TestScheme(t *testing.T) {
	scheme := newScheme()
	codecs := serializer.NewCodecFactory(scheme)
	for _, kind := range []string{"NodeMetrics", "NodeMetricsList", "PodMetrics", "PodMetricsList"} {
		object, err := scheme.New(schema.GroupVersionKind{Group: "metrics.k8s.io", Version: "v1beta1", Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range codecs.SupportedMediaTypes() {
			if info.MediaType == "application/cbor" {
				continue
			}
			if err := info.Serializer.Encode(object, new(strings.Builder)); err != nil {
				t.Errorf("%s as %s: %v", kind, info.MediaType, err)
			}
		}
	}
}
