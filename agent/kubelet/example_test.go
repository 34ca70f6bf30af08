package kubelet_test

import (
	"fmt"

	"github.com/rollcall-metrics/rollcall/agent/kubelet"
	"github.com/rollcall-metrics/rollcall/pkg/model"
)

// One bad number costs itself, not the answer.
func ExampleDecode() {
	scrape, skipped, err := kubelet.Decode([]byte(`{
		"node": {"cpu": {"usageNanoCores": 250000000}},
		"pods": [{
			"podRef": {"namespace": "shop", "name": "cart", "uid": "1"},
			"containers": [{"name": "app", "cpu": {"usageNanoCores": 7}, "memory": {"workingSetBytes": -1}}]
		}]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, group := range scrape.Groups {
		for _, sample := range group.Samples {
			cpu, _ := sample.Get(model.CPU)
			fmt.Printf("%q %q: %d nanocores, memory known: %v\n", group.Pod.Name, sample.Name, cpu, sample.Has(model.WorkingSet))
		}
	}
	fmt.Println(skipped)
	// Output:
	// "" "": 250000000 nanocores, memory known: false
	// "cart" "app": 7 nanocores, memory known: false
	// [pod shop/cart container app: memory.workingSetBytes is no unsigned integer]
}
