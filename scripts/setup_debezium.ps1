<#
.SYNOPSIS
Makes Debezium's connector on Kafka Connect, or brings it up to date, and waits until it runs.

.DESCRIPTION
Does the same as `rtrag debezium apply`, for Windows without Python. Doing it again changes nothing.
Works in Windows PowerShell 5.1 and in PowerShell 7.

.EXAMPLE
.\scripts\setup_debezium.ps1

.EXAMPLE
.\scripts\setup_debezium.ps1 -Url http://127.0.0.1:8084 -Set @{ "database.hostname" = "127.0.0.1"; "database.port" = "5434" }
#>
[CmdletBinding()]
param(
    # Address of Kafka Connect.
    [string] $Url = "http://127.0.0.1:8084",

    # The connector, as it is posted to Kafka Connect.
    [string] $File = (Join-Path (Split-Path $PSScriptRoot -Parent) "debezium/connector-config.json"),

    # Settings laid over the file.
    [hashtable] $Set = @{},

    # Seconds to wait until connector and task run.
    [int] $Wait = 90
)

$ErrorActionPreference = "Stop"
$Url = $Url.TrimEnd("/")
$started = Get-Date

# What Kafka Connect says to a request; $null if there is no such thing (404). It is busy for a moment after a change (409),
# and takes some seconds to start: both are waited for.
function Invoke-Connect([string] $Method, [string] $Path, $Body) {
    while ($true) {
        $request = @{ Method = $Method; Uri = "$Url$Path"; ContentType = "application/json"; TimeoutSec = 30 }
        if ($null -ne $Body) {
            # As bytes: Windows PowerShell sends texts in another encoding than UTF-8.
            $request.Body = [Text.Encoding]::UTF8.GetBytes(($Body | ConvertTo-Json -Depth 5))
        }
        try {
            return Invoke-RestMethod @request
        }
        catch {
            $failure = $_
            $status = 0
            if ($failure.Exception.Response) { $status = [int] $failure.Exception.Response.StatusCode }
            if ($status -eq 404) { return $null }
            $passing = ($status -eq 0) -or ($status -eq 409) -or ($status -ge 500)
            if (-not $passing -or ((Get-Date) - $started).TotalSeconds -ge $Wait) {
                $said = $failure.ErrorDetails.Message
                if (-not $said) { $said = $failure.Exception.Message }
                throw "Kafka Connect at $Url, ${Method} ${Path}: $said"
            }
            Start-Sleep -Seconds 1
        }
    }
}

# 1. The wanted configuration: the file with -Set laid over it.
$wanted = Get-Content -Path $File -Raw -Encoding UTF8 | ConvertFrom-Json
$name = $wanted.name
$config = @{}
foreach ($setting in $wanted.config.PSObject.Properties) { $config[$setting.Name] = [string] $setting.Value }
foreach ($key in $Set.Keys) { $config[$key] = [string] $Set[$key] }

# 2. Is Kafka Connect there?
$connect = Invoke-Connect "GET" "/"
if (-not $connect.version) { throw "What answers at $Url is not Kafka Connect. Give its address with -Url." }

# 3. The connector checks the configuration itself: names, values, and whether it can reach the database.
$class = $config["connector.class"]
$plugins = @(Invoke-Connect "GET" "/connector-plugins" | ForEach-Object { $_ } | ForEach-Object { $_.class })
if ($plugins -notcontains $class) {
    throw "Kafka Connect has no connector $class. Put its archive into a folder of the worker's plugin.path."
}
$plugin = $class.Split(".")[-1]
$checked = Invoke-Connect "PUT" "/connector-plugins/$plugin/config/validate" ($config + @{ name = $name })
$wrong = @($checked.configs | Where-Object { $_.value.errors } | ForEach-Object { "$($_.value.name): $($_.value.errors)" })
if ($wrong) { throw "The connector refuses its configuration:`n  $($wrong -join "`n  ")" }

# 4. What changes? Secrets are not shown.
$current = Invoke-Connect "GET" "/connectors/$name/config"
$changes = @()
if ($null -ne $current) {
    $before = @{}
    foreach ($setting in $current.PSObject.Properties) {
        if ($setting.Name -ne "name") { $before[$setting.Name] = [string] $setting.Value }
    }
    foreach ($key in @($before.Keys) + @($config.Keys) | Sort-Object -Unique) {
        if ($before[$key] -cne $config[$key]) {
            $secret = $key -match "password|secret|jaas|credential"
            $changes += if ($secret) { "$key changed" } else { "${key}: $($before[$key]) -> $($config[$key])" }
        }
    }
}

# 5. Make it or change it. What has failed and is not changed gets started anew.
if ($null -ne $current -and -not $changes) {
    Write-Host "$name is up to date."
    Invoke-Connect "POST" "/connectors/$name/restart?includeTasks=true&onlyFailed=true" | Out-Null
}
else {
    Invoke-Connect "PUT" "/connectors/$name/config" $config | Out-Null
    Write-Host "$name is $(if ($null -eq $current) { 'made' } else { 'changed' })."
    $changes | ForEach-Object { Write-Host "  $_" }
}

# 6. Wait until connector and task run. For a moment after a change, the state from before it is told.
Start-Sleep -Seconds 2
while ($true) {
    $status = Invoke-Connect "GET" "/connectors/$name/status"
    $parts = @()
    if ($status) { $parts = @($status.connector) + @($status.tasks) }
    $failed = @($parts | Where-Object { $_.state -eq "FAILED" })
    if ($failed) {
        # The lines of a Java trace that say something are those that do not begin with "at".
        $lines = $failed[0].trace -split "`n" | Where-Object { $_ -and $_ -notmatch "^\s+(at |\.\.\.)" }
        throw "$name has failed:`n  $($lines -join "`n  ")"
    }
    if ($parts.Count -ge 2 -and -not ($parts | Where-Object { $_.state -ne "RUNNING" })) {
        Write-Host "$name runs."
        exit 0
    }
    if (((Get-Date) - $started).TotalSeconds -ge $Wait) {
        throw "$name does not run after $Wait s: $(($parts | ForEach-Object { $_.state }) -join ', ')"
    }
    Start-Sleep -Seconds 1
}
