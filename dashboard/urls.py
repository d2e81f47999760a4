from django.contrib.auth import views as auth
from django.urls import include, path, reverse_lazy

from collections_admin.forms.accounts import SignInForm
from dashboard.views import health, home

urlpatterns = [
    path("", home.home, name="home"),
    path("health/", health.health, name="health"),
    path("health/header/", health.header, name="health-header"),
    path(
        "accounts/login/",
        auth.LoginView.as_view(authentication_form=SignInForm, redirect_authenticated_user=True),
        name="login",
    ),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    path(
        "accounts/password/",
        auth.PasswordChangeView.as_view(success_url=reverse_lazy("password-change-done")),
        name="password-change",
    ),
    path("accounts/password/done/", auth.PasswordChangeDoneView.as_view(), name="password-change-done"),
    path("", include("collections_admin.urls")),
]

handler400 = "dashboard.views.errors.bad_request"
handler403 = "dashboard.views.errors.permission_denied"
handler404 = "dashboard.views.errors.page_not_found"
handler500 = "dashboard.views.errors.server_error"
