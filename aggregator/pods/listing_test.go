package pods

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/rollcall-metrics/rollcall/aggregator/follow"
)

// serving is set in the process that [BenchmarkListing] lists from.
const serving = "ROLLCALL_PODS_SERVING"

// BenchmarkListing lists many pods from another process, over a connection and in
// protobuf, with the garbage collector set as an aggregator's. The peak is of the
// heap with its garbage, looked at every millisecond.
func BenchmarkListing(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(40))
	core := typedcore.NewForConfigOrDie(&rest.Config{Host: "http://" + serveElsewhere(b), QPS: -1, ContentConfig: rest.ContentConfig{
		ContentType: runtime.ContentTypeProtobuf, AcceptContentTypes: runtime.ContentTypeProtobuf,
	}})
	var peak, kept float64
	for b.Loop() {
		before := heap()
		reg := prometheus.NewRegistry()
		s := New(Config{Pods: core.Pods("")}, follow.NewMetrics(reg), slog.New(slog.DiscardHandler), reg)
		ctx, cancel := context.WithCancel(b.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for every := time.NewTicker(time.Millisecond); s.Synced() != nil; <-every.C {
			metrics.Read(sample)
			peak = max(peak, float64(sample[0].Value.Uint64())-float64(before))
		}
		kept = float64(heap()) - float64(before)
		if n := s.index().pods; n != many {
			b.Fatalf("%d pods", n)
		}
		cancel()
		running.Wait()
	}
	b.ReportMetric(peak/(1<<20), "peak-MiB")
	b.ReportMetric(kept/(1<<20), "kept-MiB")
}

// serveElsewhere starts this program once more, to serve pods, and is its address.
func serveElsewhere(b *testing.B) string {
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serving+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Wait() }) // the context has killed it
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// serve serves many pods, page by page, until it is killed.
func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	encoder := scheme.Codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion)
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		if r.URL.Query().Has("watch") {
			<-r.Context().Done()
			return
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		page := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		for i := from; i < min(from+limit, many); i++ {
			page.Items = append(page.Items, *realistic(i, false))
		}
		if from+limit < many {
			page.Continue = strconv.Itoa(from + limit)
		}
		_ = encoder.Encode(page, w)
	})))
}
