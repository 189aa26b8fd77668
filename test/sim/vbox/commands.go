package main

// commands are those that exist. They are in a function because the usage, which commands print, lists them.
func commands() map[string]command {
	return map[string]command{
		"createvm": {do: createVM}, "unregistervm": {do: unregisterVM}, "modifyvm": {do: modifyVM}, "showvminfo": {do: showVMInfo},
		"startvm": {do: startVM}, "controlvm": {do: controlVM, subs: 2}, "list": {do: list, subs: 1}, "snapshot": {do: snapshotCmd, subs: 2},
		"storagectl": {do: storageCtl}, "storageattach": {do: storageAttach},
		"createmedium": {do: createMedium}, "createhd": {do: createMedium}, "createvdi": {do: createMedium},
		"clonemedium": {do: cloneMedium}, "clonehd": {do: cloneMedium}, "clonevdi": {do: cloneMedium},
		"modifymedium": {do: modifyMedium}, "modifyhd": {do: modifyMedium}, "modifyvdi": {do: modifyMedium},
		"closemedium": {do: closeMedium}, "showmediuminfo": {do: showMediumInfo}, "showhdinfo": {do: showMediumInfo},
		"setextradata": {do: setExtraData}, "getextradata": {do: getExtraData}, "guestproperty": {do: guestProperty, subs: 1},
		"sharedfolder": {do: sharedFolder, subs: 1}, "hostonlyif": {do: hostOnlyIf, subs: 1}, "dhcpserver": {do: dhcp, subs: 1},
		"modifynvram": {do: modifyNVRAM, subs: 2}, "export": {do: exportVM}, "import": {do: importAppliance},
		"clonevm": {do: cloneVM}, "movevm": {do: moveVM},
	}
}
