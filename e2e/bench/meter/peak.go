package meter

import (
	"fmt"
	"os"
)

// ResetPeak makes a process's peak memory what it has now; see PeakOf. It must
// be this user's.
func ResetPeak(pid int) error {
	// 5: "reset the peak resident set size", proc_pid_clear_refs(5).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of process %d: %w", pid, err)
	}
	return nil
}

// PeakOf is the most memory that a process has had at once since it began, or
// since the last ResetPeak, in MiB (VmHWM).
func PeakOf(pid int) (float64, error) {
	status, err := procFields(fmt.Sprintf("/proc/%d/status", pid))
	if err == nil && status["VmHWM"] == 0 {
		err = fmt.Errorf("process %d has ended", pid)
	}
	return status["VmHWM"] / 1024, err
}
