package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/standin"
)

// admin returns the handler of the admin API. ctx is that of the fleet: what
// is started lives as long.
func (f *Fleet) admin(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	if f.virtual != nil {
		f.adminVirtual(ctx, mux)
	} else {
		f.adminNodes(ctx, mux)
	}
	mux.HandleFunc("POST /aggregators/{aggregator}", func(w http.ResponseWriter, r *http.Request) {
		a, err := f.aggregator(r.PathValue("aggregator"))
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		if err := a.act(ctx, r.FormValue("action")); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		reply(w, map[string]string{"name": a.name, "url": a.url()})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		help := adminHelp
		if f.virtual != nil {
			help = virtualHelp
		}
		refuse(w, http.StatusNotFound, errors.New(help))
	})
	return mux
}

// adminNodes are the routes about nodes with real agents.
func (f *Fleet) adminNodes(ctx context.Context, mux *http.ServeMux) {
	mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) {
		nodes := make([]nodeStatus, len(f.nodes))
		for i, n := range f.nodes {
			nodes[i] = n.status()
		}
		reply(w, nodes)
	})
	mux.HandleFunc("POST /nodes/{node}/kubelet", func(w http.ResponseWriter, r *http.Request) {
		n, err := f.node(r.PathValue("node"))
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		fault, err := standin.ParseFault(r.FormValue("fault"))
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		n.kubelet.SetFault(fault)
		reply(w, n.status())
	})
	mux.HandleFunc("POST /nodes/{node}/agent", func(w http.ResponseWriter, r *http.Request) {
		n, err := f.node(r.PathValue("node"))
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		if err := n.act(ctx, f, r.FormValue("action")); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		reply(w, n.status())
	})
	mux.HandleFunc("POST /partition", func(w http.ResponseWriter, r *http.Request) {
		hosts, err := f.hosts(r.FormValue("nodes"))
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		f.network.Partition(hosts...)
		reply(w, map[string]int{"cutOff": len(hosts)})
	})
	mux.HandleFunc("POST /heal", func(w http.ResponseWriter, _ *http.Request) {
		f.network.Heal()
		reply(w, map[string]int{"cutOff": 0})
	})
	mux.HandleFunc("GET /truth", func(w http.ResponseWriter, r *http.Request) {
		n, err := f.node(r.FormValue("node"))
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		from, to, err := window(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		reply(w, n.kubelet.Truth(from, to))
	})
}

// window is the time that a truth is asked for, in Unix seconds.
func window(r *http.Request) (from, to int64, err error) {
	from, errFrom := strconv.ParseInt(r.FormValue("from"), 10, 64)
	to, errTo := strconv.ParseInt(r.FormValue("to"), 10, 64)
	if err := errors.Join(errFrom, errTo); err != nil || from < 0 || to < from || to-from > 86400 {
		return 0, 0, errors.New("from and to are needed, in Unix seconds, at most a day apart")
	}
	return from, to, nil
}

const adminHelp = `the admin API is: GET /nodes; POST /nodes/{node}/kubelet?fault=none|blackhole|reset|slow:3s|status:500|status:401|truncate|garbage|endless; ` +
	`POST /nodes/{node}/agent?action=kill|stop|start|pause|resume; POST /aggregators/{aggregator}?action=kill|stop|start; ` +
	`POST /partition?nodes=a,b; POST /heal; GET /truth?node=…&from=…&to=…`

// hosts are the addresses of nodes and aggregators, given by name.
func (f *Fleet) hosts(names string) ([]netip.Addr, error) {
	var hosts []netip.Addr
	for name := range strings.SplitSeq(names, ",") {
		n, errNode := f.node(name)
		if errNode == nil {
			hosts = append(hosts, n.addr)
			continue
		}
		a, err := f.aggregator(name)
		if err != nil {
			return nil, fmt.Errorf("%w; %w", errNode, err)
		}
		hosts = append(hosts, a.addr)
	}
	return hosts, nil
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // fails when the client went away
}

func refuse(w http.ResponseWriter, status int, err error) {
	http.Error(w, err.Error(), status)
}
