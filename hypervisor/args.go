package hypervisor

import "github.com/boxkiln/boxkiln/internal/schema"

// BootArgs are the template arguments about what is typed at the machine; every driver with a keyboard shares them.
// Source: packer-plugin-sdk bootcommand/config.go.
type BootArgs struct {
	BootCommand          []string        `json:"boot_command" doc:"Keys to type, joined without a separator; see the boot command grammar." arg:"late" guest:"yes"`
	BootWait             schema.Duration `json:"boot_wait" doc:"How long to wait after power-on before typing; -1s for not at all. Default 10s." guest:"no"`
	BootKeyInterval      schema.Duration `json:"boot_key_interval" doc:"Shortest time between two key events. Default: measured for the driver." guest:"no"`
	BootKeygroupInterval schema.Duration `json:"boot_keygroup_interval" doc:"Pause after each group of keys (VirtualBox)." guest:"no"`
	DisableVNC           bool            `json:"disable_vnc" doc:"Taken for Packer templates: type nothing." guest:"no"`
	BootSteps            [][]string      `json:"boot_steps" doc:"Pairs of keys and description, instead of boot_command." arg:"late" guest:"yes"`
}

// ShutdownArgs are the template arguments about powering the guest off. Source: packer-plugin-sdk shutdowncommand.
type ShutdownArgs struct {
	ShutdownCommand string          `json:"shutdown_command" doc:"Command that powers the guest off; without one ACPI is used." arg:"late" guest:"artifact"`
	ShutdownTimeout schema.Duration `json:"shutdown_timeout" doc:"How long a shutdown may take. Default 5m." guest:"no"`
	DisableShutdown bool            `json:"disable_shutdown" doc:"Run no command: the guest powers itself off." guest:"artifact"`
}

// OutputArgs are the template arguments about the machine's files when the build is done. Source: packer-plugin-qemu
// builder/qemu/config.go.
type OutputArgs struct {
	Directory       string `json:"output_directory" doc:"Folder for the disks. Default output-NAME." guest:"no"`
	VMName          string `json:"vm_name" doc:"Name of the machine and of its first disk, without a further extension. Default packer-NAME." guest:"no"`
	Format          string `json:"format" doc:"qcow2 (default) or raw." guest:"artifact"`
	SkipCompaction  bool   `json:"skip_compaction" doc:"Do not rewrite the disk to drop unused clusters." guest:"artifact"`
	DiskCompression bool   `json:"disk_compression" doc:"Compress the clusters of the qcow2 image." guest:"artifact"`
}
