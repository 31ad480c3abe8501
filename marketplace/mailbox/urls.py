"""URLs of the mail viewer, included only where mails go to a folder."""

from django.urls import path

from marketplace.mailbox import views

urlpatterns = [
    path("", views.mail_list, name="mail_list"),
    path("<slug:name>", views.mail_detail, name="mail_detail"),
    path("<slug:name>/source", views.mail_source, name="mail_source"),
]
