package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/rollcall-metrics/rollcall/e2e/fleet/virtual"
	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

const virtualHelp = `the admin API is: GET /nodes; GET /nodes/{node}; POST /nodes/{node}/agent?fault=` + virtual.Faults + `; POST /nodes/{node}/agent?action=` + virtual.Actions +
	`; POST /virtual?nodes=node-1..node-50,node-99|all&fault=… or &action=…; GET /virtual/aggregator: the command line of an aggregator outside; ` +
	`POST /aggregators/{aggregator}?action=kill|stop|start; GET /truth?node=…&from=…&to=…; GET /debug/pprof/`

// adminVirtual are the routes about virtual nodes. ctx is that of the fleet.
func (f *Fleet) adminVirtual(ctx context.Context, mux *http.ServeMux) {
	obs.HandlePprof(mux) // what thousands of agents cost is worth a look
	mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) {
		f.replyStatus(w, f.virtual.Nodes())
	})
	mux.HandleFunc("GET /nodes/{node}", func(w http.ResponseWriter, r *http.Request) {
		f.replyStatus(w, []string{r.PathValue("node")})
	})
	mux.HandleFunc("POST /nodes/{node}/agent", func(w http.ResponseWriter, r *http.Request) {
		f.orderVirtual(ctx, w, r, r.PathValue("node"))
	})
	mux.HandleFunc("POST /virtual", func(w http.ResponseWriter, r *http.Request) {
		f.orderVirtual(ctx, w, r, r.FormValue("nodes"))
	})
	mux.HandleFunc("GET /virtual/aggregator", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]string{"command": f.outsideCommand()})
	})
	mux.HandleFunc("GET /truth", func(w http.ResponseWriter, r *http.Request) {
		from, to, err := window(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		truth, err := f.virtual.Truth(r.FormValue("node"), from, to)
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		reply(w, truth)
	})
}

// replyStatus tells how nodes are.
func (f *Fleet) replyStatus(w http.ResponseWriter, nodes []string) {
	all := make([]virtual.Status, len(nodes))
	for i, name := range nodes {
		var err error
		if all[i], err = f.virtual.Status(name); err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
	}
	reply(w, all)
}

// orderVirtual sets a fault or carries out an action; one of both is asked for.
func (f *Fleet) orderVirtual(ctx context.Context, w http.ResponseWriter, r *http.Request, selection string) {
	nodes, err := f.virtual.Select(selection)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	fault, action := r.FormValue("fault"), r.FormValue("action")
	switch {
	case (fault == "") == (action == ""):
		err = errors.New("either fault or action is needed; " + virtualHelp)
	case fault != "":
		var parsed virtual.Fault
		if parsed, err = virtual.ParseFault(fault); err == nil {
			err = f.virtual.SetFault(nodes, parsed)
		}
	default:
		err = f.virtual.Order(ctx, nodes, action)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply(w, map[string]int{"nodes": len(nodes)})
}
