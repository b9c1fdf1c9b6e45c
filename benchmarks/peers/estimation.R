# Fixed effects by fixest, the wild bootstrap by fwildclusterboot, system GMM by plm: the tasks of benchmarks/estimation.py.
arguments <- commandArgs(TRUE)
folder <- arguments[1]; fits <- as.integer(arguments[2]); repeats <- as.integer(arguments[3])
draws <- as.integer(arguments[4])
data <- read.csv(file.path(folder, "panel.csv"))
firms <- read.csv(file.path(folder, "firms.csv"))
say <- function(...) cat(..., sep = "\t", fill = FALSE)
timed <- function(task, package, call, values, scale = 1, times = repeats) {
  if (!requireNamespace(package, quietly = TRUE)) {
    say("skip", task, paste("package", package, "is not installed")); cat("\n"); return(invisible())
  }
  tryCatch({
    suppressPackageStartupMessages(library(package, character.only = TRUE))
    found <- call(); spent <- c()
    for (i in seq_len(times)) {
      start <- as.numeric(Sys.time()); found <- call(); spent <- c(spent, as.numeric(Sys.time()) - start)
    }
    say("version", package, as.character(packageVersion(package))); cat("\n")
    say("time", task, median(spent) * scale, sprintf("%.17g", values(found))); cat("\n")
  }, error = function(e) { say("skip", task, strsplit(conditionMessage(e), "\n")[[1]][1]); cat("\n") })
}
fit <- function(name, cluster = ~city_id) {
  rows <- data[c("y", name, "population", "employment", "science", "city_id", "province_id", "year")]
  fixest::feols(as.formula(paste("y ~", name, "+ population + employment + science | city_id + year")), rows,
                cluster = cluster)
}
several <- function(names) {
  text <- paste0("y ~ sw(", paste(names, collapse = ", "), ") + population + employment + science | city_id + year")
  fixest::feols(as.formula(text), data, cluster = ~city_id)
}
pair <- function(fit, name) c(coef(fit)[[name]], fixest::se(fit)[[name]])
regressors <- paste0("r", seq_len(fits) - 1); permuted <- paste0("p", seq_len(fits) - 1)
pairs <- function(found, names) unlist(lapply(seq_along(names), function(j) pair(found[[j]], names[j])))
timed("one", "fixest", function() fit("x"), function(found) pair(found, "x"))
timed("shared", "fixest", function() several(regressors), function(found) pairs(found, regressors), 1 / fits, 1)
timed("raw", "fixest", function() lapply(regressors, fit), function(found) pairs(found, regressors), 1 / fits, 1)
timed("permuted", "fixest", function() several(permuted), function(found) pairs(found, permuted), 1 / fits, 1)
timed("wild", "fwildclusterboot",
      function() { set.seed(1); fwildclusterboot::boottest(fit("x", ~province_id), param = "x", B = draws,
                                                           clustid = "province_id") },
      function(found) c(found$t_stat, found$p_val))
timed("gmm", "plm",
      function() { found <- plm::pgmm(n ~ lag(n, 1) + lag(w, 0:1) + lag(k, 0:1) |
                                        lag(n, 2:99) + lag(w, 2:99) + lag(k, 2:99),
                                      plm::pdata.frame(firms, index = c("firm", "year")), effect = "twoways",
                                      model = "twosteps", transformation = "ld", collapse = TRUE)
                   coef(summary(found, robust = TRUE)) },
      function(table) c(t(table[c("lag(n, 1)", "lag(w, 0:1)0", "lag(k, 0:1)0"), 1:2])))
