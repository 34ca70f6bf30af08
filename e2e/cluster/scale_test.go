package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// idle and busy are what a pod of a Deployment that is scaled burns, in thousandths
	// of a core: a tenth of its request, and twice that.
	idle, busy = 5, 100
	// few and many are the replicas that follow from it.
	few, many = 1, 2
)

// scaled are the Deployments, of which the second is scaled by its sidecar.
var scaled = []string{"web", "mesh"}

// scale turns the load of all Deployments up or down, and waits until their
// HorizontalPodAutoscalers have followed. So what those decide is new.
func (u *usage) scale(millicores int) {
	u.Helper()
	u.follow(millicores, u.turn(millicores))
}

// turn has all pods of all Deployments burn so much, and returns when.
func (u *usage) turn(millicores int) (began time.Time) {
	u.Helper()
	began = time.Now()
	for _, name := range scaled {
		u.eventually("turn the load of "+name, func(ctx context.Context) error {
			pods, err := u.c.Client.CoreV1().Pods(usageNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
			if err != nil {
				return err
			}
			turned := 0
			for _, p := range pods.Items {
				if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
					continue
				}
				if err := u.order(ctx, p.Status.PodIP, millicores); err != nil {
					return err
				}
				turned++
			}
			if turned == 0 {
				return errors.New("none runs")
			}
			return nil
		})
	}
	return began
}

// follow waits until the autoscalers have followed a turn.
func (u *usage) follow(millicores int, began time.Time) {
	u.Helper()
	want, since := int32(few), metav1.NewTime(began).Rfc3339Copy()
	if millicores == busy {
		want = many
	}
	for _, name := range scaled {
		u.eventually(fmt.Sprintf("%s has %d replicas", name, want), func(ctx context.Context) error {
			return u.followed(ctx, name, want, since)
		})
	}
	u.Logf("all scaled to %d %v after the load was turned", want, time.Since(began).Round(time.Second))
}

func (u *usage) order(ctx context.Context, pod string, millicores int) error {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DialContext: u.c.Nodes[0].DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+pod+":8080/millicores", strings.NewReader(fmt.Sprint(millicores)))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// followed says in what a Deployment's HorizontalPodAutoscaler has not followed since
// then, or nil.
func (u *usage) followed(ctx context.Context, name string, replicas int32, since metav1.Time) error {
	h, err := u.c.Client.AutoscalingV2().HorizontalPodAutoscalers(usageNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	d, err := u.c.Client.AppsV1().Deployments(usageNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	s := h.Status
	if s.DesiredReplicas != replicas || d.Status.ReadyReplicas != replicas || d.Status.Replicas != replicas ||
		s.LastScaleTime == nil || s.LastScaleTime.Before(&since) {
		return fmt.Errorf("wants %d replicas, has %d, %d of them ready; last scaled at %v; %v", s.DesiredReplicas, d.Status.Replicas, d.Status.ReadyReplicas, s.LastScaleTime, active(h))
	}
	return active(h)
}

// active says why an autoscaler has nothing to go by, or nil.
func active(h *autoscalingv2.HorizontalPodAutoscaler) error {
	for _, c := range h.Status.Conditions {
		if c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionTrue && len(h.Status.CurrentMetrics) > 0 {
			return nil
		}
	}
	return fmt.Errorf("%+v, %+v", h.Status.CurrentMetrics, h.Status.Conditions)
}
