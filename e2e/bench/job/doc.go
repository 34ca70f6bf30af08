// Package job is what agents do that are measured, in processes of their own.
package job
